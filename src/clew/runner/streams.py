"""Says what happens in a run, in the modes that the reader of its stream asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from clew.engine import events
from clew.engine.events import Event, Namespace, Wanted
from clew.engine.messages import Seen, Speech, found_in, id_of
from clew.engine.questions import Interrupt
from clew.engine.state import StateSnapshot

if TYPE_CHECKING:
    import asyncio

    from clew.runner.frame import Call


class Sink(Protocol):
    """Takes events."""

    def put(self, event: Event) -> None:
        """Take one."""

    def room(self) -> asyncio.Future[None] | None:
        """Return what a writer on an event loop is to wait for before it goes on; None if it may go on."""


class Emitter:
    """Says what happens in a run, in the modes that somebody asked for.

    Args:
        channel: where events go: a Channel, or a Publisher.
        wanted: which are wanted.
    """

    def __init__(self, channel: Sink, wanted: Wanted) -> None:
        self._channel = channel
        self._modes = wanted.modes
        self._subgraphs = wanted.subgraphs
        # Asked for at every call and every chunk.
        self._tells_custom = "custom" in wanted.modes
        self._tells_messages = "messages" in wanted.modes
        self._tells_tasks = "tasks" in wanted.modes or "debug" in wanted.modes
        self._seen = Seen()
        self._speeches: dict[str, Speech] = {}  # by the id of the call that speaks
        self.step = -1

    def room(self) -> asyncio.Future[None] | None:
        """Return what a body on an event loop is to wait for, because the reader is far behind; or None."""
        return self._channel.room()

    def wants(self, mode: str) -> bool:
        """Say whether a mode was asked for."""
        return mode in self._modes

    def write(self, namespace: Namespace, chunk: Any) -> None:
        """A body wrote to its stream writer."""
        if self._tells_custom and (not namespace or self._subgraphs):
            self._channel.put(("custom", namespace, chunk))

    def said(self, call: Call, chunk: Any, metadata: Mapping[str, Any] | None) -> None:
        """A model said something inside a call: a piece of a message, or a whole one."""
        if self._tells_messages:
            id = self._speeches.setdefault(call.id, Speech(id=call.id)).hear(chunk)
            self._seen.add_id(id)
            self._message(call, chunk, {"message_id": id, **(metadata or {})})

    def _message(self, call: Call, message: Any, metadata: Mapping[str, Any]) -> None:
        about = events.about(call.callee.name, call.id, call.execution.run_id, self.step + 1, call.scope.config)
        self._emit("messages", _namespace(call), (message, {**about, **metadata}))

    def started(self, call: Call) -> None:
        """A call starts."""
        if self._tells_messages:
            self._note_seen(*call.args, *call.kwargs.values(), call.scope.previous)
        if self._tells_tasks:
            outermost = call.parent is None
            input = call.args[0] if call.is_workflow else (call.args, dict(call.kwargs))
            payload = events.started(call.id, call.callee.name, input, "__start__" if outermost else "call")
            self._task("task", _namespace(call), payload)

    def finished(self, call: Call, value: Any, *, replayed: bool = False, cached: bool = False) -> None:
        """A call returned, or a kept result stands for it."""
        if replayed:
            if self._tells_messages:
                self._note_seen(value)
        else:
            self.updated(call, value, cached=cached)
        result = {"__end__" if call.is_workflow else "__return__": value}
        self._ended(call, result=result, replayed=replayed, cached=cached)
        if call.is_workflow and not replayed:
            self._emit("values", _namespace(call), value)

    def updated(self, call: Call, value: Any, *, cached: bool = False) -> None:
        """A call returned."""
        if self._tells_messages:
            self._tell_messages(call, value)
        if self.wants("updates"):
            self._emit("updates", _namespace(call), events.update(call.callee.name, value, cached=cached))

    def returned(self, call: Call, value: Any) -> None:
        """A workflow, whose update was told before, has ended together with all its calls."""
        self._ended(call, result={"__end__": value})

    def failed(self, call: Call, error: BaseException, *, replayed: bool = False) -> None:
        """A call raised."""
        self._ended(call, result={}, error=error, replayed=replayed)

    def suspended(self, call: Call, interrupts: Sequence[Interrupt]) -> None:
        """A call stopped at a question."""
        self._ended(call, result={}, interrupts=interrupts)

    def interrupted(self, interrupts: Sequence[Interrupt]) -> None:
        """The run stopped at questions."""
        self._emit("updates", (), events.asked(interrupts))
        self._emit("values", (), events.asked(interrupts))

    def value(self, value: Any) -> None:
        """The run has its final value."""
        self._emit("values", (), value)

    def checkpoint(self, snapshot: StateSnapshot) -> None:
        """A checkpoint was kept."""
        payload = events.checkpoint(snapshot)
        self.step = (snapshot.metadata or {}).get("step", self.step)
        self._emit("checkpoints", (), payload)
        self._emit("debug", (), events.debug(self.step, time.time(), "checkpoint", payload))

    def _tell_messages(self, call: Call, value: Any) -> None:
        speech = self._speeches.pop(call.id, None)
        for message in found_in(value):
            if self._seen.add(message) and not (speech and speech.holds(message)):
                id = id_of(message)
                self._message(call, message, {} if id is None else {"message_id": id})

    def _note_seen(self, *values: Any) -> None:
        for value in values:
            for message in found_in(value):
                self._seen.add(message)

    def _ended(self, call: Call, **how: Any) -> None:
        if self._tells_tasks:
            self._task("task_result", _namespace(call), events.ended(call.id, call.callee.name, **how))

    def _task(self, type: str, namespace: Namespace, payload: Any) -> None:
        self._emit("tasks", namespace, payload)
        self._emit("debug", namespace, events.debug(self.step + 1, time.time(), type, payload))

    def _emit(self, mode: str, namespace: Namespace, data: Any) -> None:
        if mode in self._modes and (not namespace or self._subgraphs):
            self._channel.put((mode, namespace, data))


def _namespace(call: Call) -> Namespace:
    return call.scope.namespace
