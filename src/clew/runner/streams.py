"""Carries events from a run to whoever iterates over its stream, while the run goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from clew.engine import events
from clew.engine.events import Event, Namespace, Wanted
from clew.engine.questions import Interrupt
from clew.engine.state import StateSnapshot

if TYPE_CHECKING:
    from clew.runner.frame import Call

_MOST_WAITING = 1024  # events that nobody took yet; beyond, the run waits for its reader


class Channel(Protocol):
    """Where events go."""

    def put(self, event: Event) -> None:
        """Take an event; wait for the reader where that is possible and too many wait."""


class BlockingChannel:
    """From the OS threads of a run to a blocking reader."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._closed = False

    def put(self, event: Event) -> None:
        with self._changed:
            while len(self._events) >= _MOST_WAITING and not self._closed:
                self._changed.wait()
            if not self._closed:
                self._events.append(event)
                self._changed.notify_all()

    def end(self) -> None:
        """Let the reader know that nothing more comes."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Drop what waits and what still comes: the reader has gone."""
        with self._changed:
            self._closed = True
            self._events.clear()
            self._changed.notify_all()

    def take(self) -> list[Event]:
        """Return the events that wait, at least one, or none once nothing more comes."""
        with self._changed:
            while not self._events and not self._ended:
                self._changed.wait()
            taken = list(self._events)
            self._events.clear()
            self._changed.notify_all()
            return taken


class LoopChannel:
    """From a run on an event loop, and its OS threads, to an async reader on the same loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._events: deque[Event] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []
        self._room = threading.Condition()
        self._ended = False
        self._closed = False

    def put(self, event: Event) -> None:
        if asyncio._get_running_loop() is self._loop:
            self._add(event)
            return
        with self._room:
            while len(self._events) >= _MOST_WAITING and not self._closed:
                self._room.wait()
        self._loop.call_soon_threadsafe(self._add, event)

    async def room(self) -> None:
        """Wait until the reader has caught up. Called between calls, where a body on the loop can wait."""
        if len(self._events) >= _MOST_WAITING and not self._closed and not self._ended:
            writer = self._loop.create_future()
            self._writers.append(writer)
            await writer

    def end(self) -> None:
        """Let the reader know that nothing more comes."""
        self._ended = True
        self._wake_reader()

    def close(self) -> None:
        """Drop what waits and what still comes: the reader has gone."""
        self._closed = True
        self._make_room()

    async def take(self) -> list[Event]:
        """Return the events that wait, at least one, or none once nothing more comes."""
        while not self._events and not self._ended:
            self._reader = self._loop.create_future()
            await self._reader
        taken = list(self._events)
        self._make_room()
        return taken

    def _add(self, event: Event) -> None:
        if not self._closed:
            self._events.append(event)
            self._wake_reader()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _make_room(self) -> None:
        with self._room:
            self._events.clear()
            self._room.notify_all()
        writers, self._writers = self._writers, []
        for writer in writers:
            if not writer.done():
                writer.set_result(None)


class Emitter:
    """Says what happens in a run, in the modes that somebody asked for.

    Args:
        channel: where events go.
        wanted: which are wanted.
    """

    def __init__(self, channel: Channel, wanted: Wanted) -> None:
        self._channel = channel
        self._modes = wanted.modes
        self._subgraphs = wanted.subgraphs
        self.step = -1

    async def room(self) -> None:
        """Wait until the reader has caught up, where the channel asks for it."""
        if isinstance(self._channel, LoopChannel):
            await self._channel.room()

    def wants(self, mode: str) -> bool:
        """Say whether a mode was asked for."""
        return mode in self._modes

    def write(self, namespace: Namespace, chunk: Any) -> None:
        """A body wrote to its stream writer."""
        self._emit("custom", namespace, chunk)

    def message(self, namespace: Namespace, message: Any, metadata: dict[str, Any]) -> None:
        """A model said something."""
        self._emit("messages", namespace, (message, metadata))

    def started(self, call: Call) -> None:
        """A call starts."""
        if self.wants("tasks") or self.wants("debug"):
            outermost = call.parent is None
            input = call.args[0] if call.is_workflow else (call.args, dict(call.kwargs))
            payload = events.started(call.id, call.callee.name, input, "__start__" if outermost else "call")
            self._task("task", _namespace(call), payload)

    def finished(self, call: Call, value: Any, *, replayed: bool = False, cached: bool = False) -> None:
        """A call returned, or a kept result stands for it."""
        if not replayed:
            self.updated(call, value, cached=cached)
        result = {"__end__" if call.is_workflow else "__return__": value}
        self._ended(call, result=result, replayed=replayed, cached=cached)

    def updated(self, call: Call, value: Any, *, cached: bool = False) -> None:
        """A call returned."""
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

    def _ended(self, call: Call, **how: Any) -> None:
        if self.wants("tasks") or self.wants("debug"):
            self._task("task_result", _namespace(call), events.ended(call.id, call.callee.name, **how))

    def _task(self, type: str, namespace: Namespace, payload: Any) -> None:
        self._emit("tasks", namespace, payload)
        self._emit("debug", namespace, events.debug(self.step + 1, time.time(), type, payload))

    def _emit(self, mode: str, namespace: Namespace, data: Any) -> None:
        if mode in self._modes and (not namespace or self._subgraphs):
            self._channel.put((mode, namespace, data))


def _namespace(call: Call) -> Namespace:
    return call.scope.namespace
