"""Carries events from a run to whoever reads its stream, of whatever colour each of them is.

Events are taken in order and nothing is dropped while somebody reads. A run that is far ahead of its reader waits: on
an OS thread inside `put`, on an event loop between two steps of the body that wrote (see `paced`). It knows nothing of
what the events mean.
"""

from __future__ import annotations

import contextlib
import threading
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from clew.engine.events import Event
from clew.late import late
from clew.runner import loops, pools

if TYPE_CHECKING:
    import asyncio
else:
    late(globals(), "asyncio")

T = TypeVar("T")
Wake = Callable[[], None]

_MOST_WAITING = 1024  # events that nobody took yet
_LOOK_EVERY_S = 1.0


class Channel:
    """A queue of events between one run and one reader."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        # Reentrant: a reader whom nobody holds any more is collected, and closes its channel, at any moment.
        self._lock = threading.RLock()
        self._reader: Wake | None = None  # who waits for events
        self._writers: list[Wake] = []  # who wait for room
        self._ended = False
        self._closed = False

    def put(self, event: Event) -> None:
        """Add an event. On an OS thread this waits for a reader who is far behind; on an event loop it must not."""
        if len(self._events) >= _MOST_WAITING and loops.running() is None:
            self._wait_for_room()
        if self._closed:
            return
        # Without the lock, which would cost more than the rest: a writer adds first and then looks for a reader, who
        # says first that he waits and then looks for events. So one of them sees the other.
        self._events.append(event)
        if self._reader is not None:
            with self._lock:
                self._tell_reader()

    def end(self) -> None:
        """Let the reader know that nothing more comes."""
        with self._lock:
            self._ended = True
            self._tell_reader()

    def close(self) -> None:
        """Drop what waits and what still comes: the reader has gone."""
        with self._lock:
            self._closed = True
            self._events.clear()
            self._tell_writers()

    def take(self) -> list[Event]:
        """Return the events that wait, at least one, or none once nothing more comes."""
        while not (self._events or self._ended):
            gate, wake = _gate()
            if self._must_wait(wake):
                gate.acquire()
        return self._taken()

    async def atake(self) -> list[Event]:
        """Like `take`, on an event loop."""
        while not (self._events or self._ended):
            change, wake = _change()
            if self._must_wait(wake):
                await change
        return self._taken()

    def room(self) -> asyncio.Future[None] | None:
        """Return what a writer on an event loop is to wait for before it goes on; None if it may go on."""
        if len(self._events) < _MOST_WAITING:
            return None
        with self._lock:
            if not self._is_full():
                return None
            change, wake = _change()
            self._writers.append(wake)
        change.get_loop().call_later(_LOOK_EVERY_S, self._look_again, change)
        return change

    def _wait_for_room(self) -> None:
        while True:
            with self._lock:
                if not self._is_full():
                    return
                gate, wake = _gate()
                self._writers.append(wake)
            if not gate.acquire(timeout=_LOOK_EVERY_S):
                self._look_for_end()

    def _is_full(self) -> bool:
        return len(self._events) >= _MOST_WAITING and not self._closed

    def _look_again(self, change: asyncio.Future[None]) -> None:
        if not change.done():
            self._look_for_end()
            change.set_result(None)

    def _look_for_end(self) -> None:
        """Stop waiting for a reader whom the program has left behind: it ends, and waits for its pools."""
        self._closed = self._closed or pools.is_program_ending()

    def _must_wait(self, wake: Wake) -> bool:
        """Say whether nothing came until now; `wake` is called when something does."""
        with self._lock:
            self._reader = wake
        return not (self._events or self._ended)

    def _taken(self) -> list[Event]:
        with self._lock:
            taken = [self._events.popleft() for _ in range(len(self._events))]  # more may come meanwhile
            self._tell_writers()
        return taken

    def _tell_reader(self) -> None:
        wake, self._reader = self._reader, None
        if wake is not None:
            wake()

    def _tell_writers(self) -> None:
        wakes, self._writers = self._writers, []
        for wake in wakes:
            wake()


def _gate() -> tuple[threading.Lock, Wake]:
    """Return what an OS thread waits for by acquiring it, and what ends that."""
    gate = threading.Lock()
    gate.acquire()
    return gate, gate.release


def _change() -> tuple[asyncio.Future[None], Wake]:
    """Return what is awaited on the event loop that runs here, and what ends that, from wherever it is called."""
    loop = asyncio.get_running_loop()
    change: asyncio.Future[None] = loop.create_future()
    return change, partial(_resolve_on, loop, change)


def _resolve_on(loop: asyncio.AbstractEventLoop, change: asyncio.Future[None]) -> None:
    if loops.running() is loop:
        _resolve(change)
        return
    with contextlib.suppress(RuntimeError):  # that loop is closed, and nobody waits on it any more
        loop.call_soon_threadsafe(_resolve, change)


def _resolve(change: asyncio.Future[None]) -> None:
    if not change.done():
        change.set_result(None)


@types.coroutine
def paced(body: Coroutine[Any, Any, T], room: Callable[[], asyncio.Future[None] | None]) -> Generator[Any, Any, T]:
    """Run a coroutine, but let it go on after each of its awaits only once there is room.

    A writer on an event loop cannot be made to wait where it writes, only where it waits anyway.
    """
    step: Callable[[Any], Any] = body.send
    given: Any = None
    while True:
        try:
            awaited = step(given)
        except StopIteration as finished:
            result: T = finished.value
            return result
        try:
            given, step = (yield awaited), body.send
            while (change := room()) is not None:
                yield from change
        except BaseException as error:  # thrown in from outside: a cancellation, or the end of the coroutine
            given, step = error, body.throw
