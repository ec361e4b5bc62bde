"""What a thread shows of itself: checkpoints as snapshots, newest first. Values come in decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Struct

from clew.engine.identity import question_id
from clew.engine.questions import Interrupt, Question
from clew.engine.records import Run, ThreadKey, end_checkpoint, input_checkpoint
from clew.errors import UnreadableRecord

Config = dict[str, Any]


class StateTask(NamedTuple):
    """The workflow's own call, as a checkpoint shows it."""

    id: str
    name: str
    path: tuple[Any, ...]
    error: str | None = None
    interrupts: tuple[Interrupt, ...] = ()
    state: Any = None
    result: Any = None


class StateSnapshot(NamedTuple):
    """A thread at one of its checkpoints.

    Args:
        values: the value of the last finished run at this point; `{}` on a thread that does not exist.
        next: the workflow's name while there is something to run, else empty.
        config: names this checkpoint.
        metadata: source, step, parents, and what is kept of the caller's config; None on a thread that does not exist.
        created_at: ISO time in UTC, or None.
        parent_config: names the checkpoint before, or None.
        tasks: the workflow's call, while there is something to run.
        interrupts: the questions of all tasks.
        saved: what the next run gets as `previous` (see `entrypoint.final`).
    """

    values: Any
    next: tuple[str, ...]
    config: Config
    metadata: Mapping[str, Any] | None
    created_at: str | None
    parent_config: Config | None
    tasks: tuple[StateTask, ...]
    interrupts: tuple[Interrupt, ...]
    saved: Any = None

    @property
    def exists(self) -> bool:
        """Whether the thread, and this checkpoint of it, exists at all."""
        return self.created_at is not None


class View(Struct, frozen=True, kw_only=True):
    """A run with its values decoded, as far as a snapshot shows them.

    Args:
        run: as it is kept.
        value: what it returned.
        saved: what it left for the next.
        before: the value that the thread had when the run began.
        saved_before: what the run was given as `previous`.
        interrupts: the questions it asked: those that still wait, or in history all.
        metadata: what is kept of the caller's config.
    """

    run: Run
    value: Any
    saved: Any
    before: Any
    saved_before: Any
    interrupts: tuple[Interrupt, ...]
    metadata: Mapping[str, Any]


def at_end(thread: ThreadKey, view: View) -> StateSnapshot:
    """Show the checkpoint at which a run was done."""
    run = view.run
    source = {"input": "loop", "update": "update", "fork": "fork"}[run.source]
    parent = input_checkpoint(run.id) if run.source == "input" else run.parent
    return StateSnapshot(
        values=view.value,
        next=(),
        config=config_of(thread, end_checkpoint(run.id)),
        metadata=_metadata(view, source, run.end_step),
        created_at=iso(run.ended_s if run.ended_s is not None else run.created_s),
        parent_config=config_of(thread, parent) if parent else None,
        tasks=(),
        interrupts=(),
        saved=view.saved,
    )


def at_input(thread: ThreadKey, view: View, state: Any = None) -> StateSnapshot:
    """Show the checkpoint at which a run's input was kept, with what became of the run."""
    run = view.run
    task = StateTask(
        id=run.id,
        name=thread.workflow,
        path=("workflow", thread.workflow),
        error=run.error if run.status == "failed" else None,
        interrupts=view.interrupts,
        state=state,
        result=view.value if run.status == "done" else None,
    )
    return StateSnapshot(
        values=view.before,
        next=(thread.workflow,),
        config=config_of(thread, input_checkpoint(run.id)),
        metadata=_metadata(view, "input", run.step),
        created_at=iso(run.created_s),
        parent_config=config_of(thread, run.parent) if run.parent else None,
        tasks=(task,),
        interrupts=view.interrupts,
        saved=view.saved_before,
    )


def nested(thread: ThreadKey, run: Run, asked: Sequence[Question], depth: int = 0) -> StateSnapshot | None:
    """Show the first nested workflow in which a question waits, with those nested in it; None if there is none."""
    inside = [question for question in asked if len(question.within) > depth]
    if not inside:
        return None
    key, name = inside[0].within[depth]
    inside = [question for question in inside if question.within[depth][0] == key]
    interrupts = tuple(question.interrupt for question in inside)
    task = StateTask(
        id=question_id(run.id, key), name=name, path=("workflow", name), interrupts=interrupts,
        state=nested(thread, run, inside, depth + 1),
    )  # fmt: skip
    checkpoint = input_checkpoint(run.id)
    return StateSnapshot(
        values=None,
        next=(name,),
        config={"configurable": {"thread_id": thread.thread_id, "checkpoint_ns": key, "checkpoint_id": checkpoint}},
        metadata={"source": "input", "step": -1, "parents": {"": checkpoint}},
        created_at=iso(run.created_s),
        parent_config=None,
        tasks=(task,),
        interrupts=interrupts,
    )


def missing(config: Config) -> StateSnapshot:
    """Show a thread, or a checkpoint, that does not exist."""
    return StateSnapshot({}, (), config, None, None, None, (), ())


def config_of(thread: ThreadKey, checkpoint_id: str | None) -> Config:
    """Return the config that names a checkpoint of a thread."""
    names = {"thread_id": thread.thread_id, "checkpoint_ns": ""}
    return {"configurable": names if checkpoint_id is None else {**names, "checkpoint_id": checkpoint_id}}


def iso(seconds: float) -> str:
    """Return seconds since the epoch as ISO text in UTC.

    Raises:
        UnreadableRecord: there is no such year.
    """
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OSError, OverflowError, ValueError) as error:
        raise UnreadableRecord(f"a kept time is damaged: {seconds} seconds since 1970") from error


def matches(snapshot: StateSnapshot, wanted: Mapping[str, Any] | None) -> bool:
    """Say whether a snapshot's metadata has all that `filter=` asks for."""
    metadata = snapshot.metadata or {}
    return all(key in metadata and metadata[key] == value for key, value in (wanted or {}).items())


def kept_config(config: Mapping[str, Any]) -> Config:
    """Return what of a caller's config is kept with its run: scalars and UUIDs, without the names of checkpoints.

    Whoever goes on with the run is given them as they were, hence `configurable` and `metadata` each for itself.
    """
    parts = {part: _keepable(config.get(part) or {}) for part in ("configurable", "metadata")}
    return {part: entries for part, entries in parts.items() if entries}


def _keepable(entries: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in entries.items()
        if isinstance(key, str)
        and not key.startswith("__")
        and key not in ("thread_id", "checkpoint_id", "checkpoint_ns")
        and isinstance(value, str | int | float | bool | UUID)
    }


def as_metadata(kept: Config) -> dict[str, Any]:
    """Show what is kept of a config as checkpoints do: UUIDs as text, and of equal names that in `metadata`."""
    entries = {**kept.get("configurable", {}), **kept.get("metadata", {})}
    return {key: str(value) if isinstance(value, UUID) else value for key, value in entries.items()}


def _metadata(view: View, source: str, step: int) -> dict[str, Any]:
    return {**view.metadata, "source": source, "step": step, "parents": {}}
