"""The OS threads of this process: one pool for tasks, one for whole workflows, one event loop in the background."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from clew.late import late

if TYPE_CHECKING:
    import asyncio
else:
    late(globals(), "asyncio")

T = TypeVar("T")

MOST_THREADS = 128  # they wait for models and tools, so far more than there are cores
_FEW_THREADS = 16  # for calls that do not wait: more of them awake at once only take the interpreter from each other


_lock = threading.Lock()
_made: dict[tuple[str, int], Any] = {}


def tasks() -> ThreadPoolExecutor:
    """Return the pool that runs blocking tasks."""
    return _once("task", _pool)


def workflows() -> ThreadPoolExecutor:
    """Return the pool that runs whole blocking workflows for async callers and streams."""
    return _once("workflow", _pool)


class Crew:
    """OS threads of the pool for tasks, each of which takes the next call as soon as it has ended one.

    A few begin at once. More follow only when these do not get on, which is seen by whoever calls `grow` now and then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._at_work = 0
        self._taken = 0
        self._taken_before = 0  # when it was last looked at

    def add(self, call: Callable[[], None]) -> None:
        """Let an OS thread carry out a call, which never raises."""
        with self._lock:
            self._waiting.append(call)
            if self._at_work >= _FEW_THREADS:
                return
            self._at_work += 1
        tasks().submit(self._work)

    def go_on(self, call: Callable[[], None]) -> None:
        """Let whoever has ended its call go on with another one, before any that is new; never raises, as in `add`.

        Only an OS thread of the crew says so: it is there to take it, at the latest.
        """
        with self._lock:
            self._waiting.appendleft(call)

    def grow(self) -> bool:
        """Double the OS threads if calls wait and none was taken since the last look; say whether calls wait."""
        with self._lock:
            is_stuck, self._taken_before = self._taken == self._taken_before, self._taken
            more = min(len(self._waiting), self._at_work, MOST_THREADS - self._at_work) if is_stuck else 0
            self._at_work += more
            waits = bool(self._waiting)
        for _ in range(more):
            tasks().submit(self._work)
        return waits

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._at_work -= 1
                    return
                call = self._waiting.popleft()
                self._taken += 1
            call()


def crew() -> Crew:
    """Return what carries out the blocking calls that run side by side."""
    return _once("crew", lambda kind: Crew())


def is_program_ending() -> bool:
    """Say whether the program ends: the pools take no new work then, and the program waits until theirs is done."""
    try:
        workflows().submit(bool)
    except RuntimeError:
        return True
    return False


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that runs async code for blocking callers."""
    return _once("loop", _loop)


def _once(kind: str, make: Callable[[str], T]) -> T:
    """Make a thing once a process: OS threads do not live on in a forked child."""
    key = (kind, os.getpid())
    if key not in _made:
        with _lock:
            if key not in _made:
                _made[key] = make(kind)
    made: T = _made[key]
    return made


def _pool(kind: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix=f"clew-{kind}")


def _loop(kind: str) -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()

    def run() -> None:
        while True:
            try:
                return loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                pass  # one call's, whose caller gets it; asyncio stops the loop for these, and other calls need it

    threading.Thread(target=run, name=f"clew-{kind}", daemon=True).start()
    return loop
