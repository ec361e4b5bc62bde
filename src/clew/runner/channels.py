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
from typing import TYPE_CHECKING, Any, TypeVar

from clew.engine.events import Event
from clew.late import late
from clew.runner import loops, pools

if TYPE_CHECKING:
    import asyncio
else:
    late(globals(), "asyncio")

T = TypeVar("T")

_MOST_WAITING = 1024  # events that nobody took yet
_LOOK_EVERY_S = 1.0


class Channel:
    """A queue of events between one run and one reader."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        # Reentrant: a reader whom nobody holds any more is collected, and closes its channel, at any moment.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._wakes: list[Callable[[], None]] = []  # of those who wait on event loops
        self._ended = False
        self._closed = False

    def put(self, event: Event) -> None:
        """Add an event. On an OS thread this waits for a reader who is far behind; on an event loop it must not."""
        with self._lock:
            if len(self._events) >= _MOST_WAITING and loops.running() is None:
                self._wait_for_room()
            if not self._closed:
                self._events.append(event)
                if len(self._events) == 1:  # nobody waits for more than one
                    self._tell()

    def end(self) -> None:
        """Let the reader know that nothing more comes."""
        with self._lock:
            self._ended = True
            self._tell()

    def close(self) -> None:
        """Drop what waits and what still comes: the reader has gone."""
        with self._lock:
            self._closed = True
            self._events.clear()
            self._tell()

    def take(self) -> list[Event]:
        """Return the events that wait, at least one, or none once nothing more comes."""
        with self._lock:
            while not self._events and not self._ended:
                self._changed.wait()
            return self._taken()

    async def atake(self) -> list[Event]:
        """Like `take`, on an event loop."""
        while True:
            with self._lock:
                if self._events or self._ended:
                    return self._taken()
                change = self._next_change()
            await change

    def room(self) -> asyncio.Future[None] | None:
        """Return what a writer on an event loop is to wait for before it goes on; None if it may go on."""
        with self._lock:
            if not self._is_full():
                return None
            change = self._next_change()
            asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look_again, change)
            return change

    def _wait_for_room(self) -> None:
        while self._is_full():
            if not self._changed.wait(_LOOK_EVERY_S):
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

    def _taken(self) -> list[Event]:
        taken, was_full = list(self._events), self._is_full()
        self._events.clear()
        if was_full:  # else nobody waits for room
            self._tell()
        return taken

    def _tell(self) -> None:
        self._changed.notify_all()
        wakes, self._wakes = self._wakes, []
        for wake in wakes:
            wake()

    def _next_change(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        change: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # that loop is closed, and nobody waits on it any more
                loop.call_soon_threadsafe(_resolve, change)

        self._wakes.append(wake)
        return change


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
