"""A clock that a test moves: time and sleeping, for clew and for the code under test. Knows nothing of workflows."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Coroutine, Generator, Hashable
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from clew.errors import InvalidOption

_really_sleep = asyncio.sleep
# So many times a loop goes round before somebody wakes: others may be about to sleep for less, or to cancel this.
_TURNS = 5
# What looks now and then whether there is anything to do: it waits for nothing, and would move the clock without end.
_IN_REAL_TIME = ("procrastinate", "psycopg_pool")


class FakeClock:
    """Time that stands still until it is moved, or until somebody sleeps: nobody waits, the clock moves instead.

    Of those who sleep side by side, on OS threads or on one event loop, the one who is to wake first does so first.
    """

    def __init__(self, start_s: float) -> None:
        self._now_s = start_s
        self._changed = threading.Condition()
        self._asleep: list[tuple[float, int, Hashable]] = []  # when it ends, order, and among whom it is in order
        self._order = 0

    @property
    def now(self) -> datetime:
        """The time, aware UTC."""
        return datetime.fromtimestamp(self._now_s, UTC)

    def advance(self, seconds: float) -> None:
        """Move the clock.

        Args:
            seconds: by how much.

        Raises:
            InvalidOption: backwards.
        """
        if seconds < 0:
            raise InvalidOption(f"a clock goes forward; it cannot be moved by {seconds} s")
        with self._changed:
            self._now_s += seconds

    def time(self) -> float:
        """Stand for `time.time`."""
        return self._now_s

    def time_ns(self) -> int:
        """Stand for `time.time_ns`."""
        return int(self._now_s * 1e9)

    def sleep(self, seconds: float) -> None:
        """Stand for `time.sleep`."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        sleep = self._begin(seconds, "OS threads")
        with self._changed:
            self._changed.wait_for(lambda: self._is_first(sleep))
        self._end(sleep)

    def asleep(self, delay: float, result: Any = None) -> Coroutine[Any, Any, Any]:
        """Stand for `asyncio.sleep`."""
        caller = str(sys._getframe(1).f_globals.get("__name__"))
        is_real = delay <= 0 or caller.partition(".")[0] in _IN_REAL_TIME
        return _really_sleep(delay, result) if is_real else self._until_awake(delay, result)

    async def _until_awake(self, delay: float, result: Any) -> Any:
        sleep = self._begin(delay, asyncio.get_running_loop())
        try:
            for _ in range(_TURNS):
                await _really_sleep(0)
                while not self._is_first(sleep):
                    await _really_sleep(0)
        except BaseException:
            self._asleep.remove(sleep)  # cancelled: it does not move the clock
            raise
        self._end(sleep)
        return result

    def _begin(self, seconds: float, among: Hashable) -> tuple[float, int, Hashable]:
        with self._changed:
            self._order += 1
            sleep = (self._now_s + seconds, self._order, among)
            self._asleep.append(sleep)
        return sleep

    def _is_first(self, sleep: tuple[float, int, Hashable]) -> bool:
        return all(other[:2] >= sleep[:2] for other in list(self._asleep) if other[2] == sleep[2])

    def _end(self, sleep: tuple[float, int, Hashable]) -> None:
        with self._changed:
            self._asleep.remove(sleep)
            self._now_s = max(self._now_s, sleep[0])
            self._changed.notify_all()


@contextmanager
def fake_clock(start: datetime | None = None) -> Generator[FakeClock]:
    """Let a test move the time: it stands still, `clock.advance(seconds)` moves it, and no sleep takes any time.

    Everything in this process that asks `time.time`, `time.sleep` or `asyncio.sleep` gets this clock: leases, questions
    with a time limit, pauses of `clew.sleep` and of retries, memories that expire, cached results, and your own code.
    What asks `datetime.now` does not, for Python cannot replace that; nor do limits on how long a task may run or a
    caller waits for its thread, which are measured by `time.monotonic`.

    Args:
        start: aware; the real time if left out.

    Yields:
        The clock.

    Raises:
        InvalidOption: `start` has no time zone.
    """
    if start is not None and start.tzinfo is None:
        raise InvalidOption(f"a clock needs to know the time zone: {start!r} has none; pass tzinfo=UTC")
    clock = FakeClock(time.time() if start is None else start.timestamp())
    real: Any = time.time, time.time_ns, time.sleep, asyncio.sleep
    _put(clock.time, clock.time_ns, clock.sleep, clock.asleep)
    try:
        yield clock
    finally:
        _put(*real)


def _put(now: Any, now_ns: Any, sleep: Any, asleep: Any) -> None:
    time.time, time.time_ns, time.sleep = now, now_ns, sleep
    asyncio.sleep = asleep
