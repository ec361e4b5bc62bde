"""What a stream yields: the payload of each mode, and the shape in which the caller asked for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from msgspec import Struct

from clew.engine.questions import Interrupt
from clew.engine.state import StateSnapshot, iso
from clew.errors import InvalidOption

StreamMode = Literal["values", "updates", "custom", "messages", "tasks", "checkpoints", "debug"]
MODES: tuple[str, ...] = get_args(StreamMode)
Namespace = tuple[str, ...]
Event = tuple[str, Namespace, Any]


class Wanted(Struct, frozen=True, kw_only=True):
    """Which events the caller wants, and in which shape.

    Args:
        modes: the modes asked for.
        single: whether one mode was asked for by name and not in a list.
        subgraphs: whether events of nested workflows are wanted, each with its namespace.
        version: "v1" for bare chunks and tuples, "v2" for dictionaries.
    """

    modes: frozenset[str]
    single: bool
    subgraphs: bool = False
    version: str = "v1"

    def shape(self, event: Event) -> Any:
        """Return an event as the caller asked for it."""
        mode, namespace, data = event
        if self.version == "v2":
            chunk = {"type": mode, "ns": namespace, "data": data}
            if mode == "values":
                waits = isinstance(data, dict) and "__interrupt__" in data
                chunk |= {"data": {}, "interrupts": data["__interrupt__"]} if waits else {"interrupts": ()}
            return chunk
        if self.subgraphs:
            return (namespace, data) if self.single else (namespace, mode, data)
        return data if self.single else (mode, data)


def wanted(stream_mode: str | Sequence[str] | None, *, subgraphs: bool = False, version: str = "v1") -> Wanted:
    """Normalise what `stream_mode=` was given; the default is "updates".

    Raises:
        InvalidOption: a mode or a version that there is not.
    """
    single = stream_mode is None or isinstance(stream_mode, str)
    modes = [stream_mode or "updates"] if stream_mode is None or isinstance(stream_mode, str) else list(stream_mode)
    for mode in modes:
        if mode not in MODES:
            raise InvalidOption(f"there is no stream_mode {mode!r}; there are {', '.join(MODES)}")
    check_version(version)
    return Wanted(modes=frozenset(modes), single=single, subgraphs=subgraphs, version=version)


def check_version(version: str) -> None:
    """Refuse a version of chunks that there is not.

    Raises:
        InvalidOption: it is neither "v1" nor "v2".
    """
    if version not in ("v1", "v2"):
        raise InvalidOption(f"version must be 'v1' or 'v2', not {version!r}")


def update(name: str, value: Any, *, cached: bool = False) -> dict[str, Any]:
    """Say what a call returned."""
    return {name: value, "__metadata__": {"cached": True}} if cached else {name: value}


def asked(interrupts: Sequence[Interrupt]) -> dict[str, Any]:
    """Say which questions wait."""
    return {"__interrupt__": tuple(interrupts)}


def started(id: str, name: str, input: Any, trigger: str) -> dict[str, Any]:
    """Say that a call starts."""
    return {"id": id, "name": name, "input": input, "triggers": (trigger,)}


def ended(
    id: str,
    name: str,
    *,
    result: Mapping[str, Any],
    error: BaseException | None = None,
    interrupts: Sequence[Interrupt] = (),
    replayed: bool = False,
    cached: bool = False,
) -> dict[str, Any]:
    """Say how a call ended, and whether its result is a kept one."""
    end = {
        "id": id,
        "name": name,
        "error": error,
        "result": dict(result),
        "interrupts": [{"value": interrupt.value, "id": interrupt.id} for interrupt in interrupts],
    }
    marks = {"replayed": replayed, "cached": cached}
    return end | {mark: True for mark, holds in marks.items() if holds}


def about(name: str, call_id: str, run_id: str, step: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """Say which call a message comes from, under the names that readers of such streams know."""
    configurable = config.get("configurable") or {}
    thread = {"thread_id": str(configurable["thread_id"])} if configurable.get("thread_id") is not None else {}
    return {
        **(config.get("metadata") or {}),
        **thread,
        "run_id": run_id,
        "task_id": call_id,
        "langgraph_node": name,
        "langgraph_step": step,
        "langgraph_checkpoint_ns": f"{name}:{call_id}",
    }


def checkpoint(snapshot: StateSnapshot) -> dict[str, Any]:
    """Say that a checkpoint was kept."""
    return {
        "config": snapshot.config,
        "parent_config": snapshot.parent_config,
        "values": snapshot.values,
        "metadata": snapshot.metadata,
        "next": list(snapshot.next),
        "tasks": [
            {"id": task.id, "name": task.name, "interrupts": task.interrupts, "state": None} for task in snapshot.tasks
        ],
    }


def debug(step: int, now_s: float, type: str, payload: Any) -> dict[str, Any]:
    """Wrap a record of "tasks" or "checkpoints" for the mode "debug"."""
    return {"step": step, "timestamp": iso(now_s), "type": type, "payload": payload}
