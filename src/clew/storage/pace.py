"""Says whether a kind of work may be done on an event loop: while it takes less than to have an OS thread do it.

Now and then such work takes long: a log is copied, a disk is busy. If it does for more than some milliseconds,
the loop is spared for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from types import coroutine
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_MOST_S = 0.0003  # about what it takes to wake another OS thread and to be woken by it
_SPARED = 20  # times as long as what was slow took, so that of all time slow work takes a twentieth at most
_LET_PASS_S = 0.005  # of slow work now and then
_TURN_S = _MOST_S  # of work in a row; to give others a turn takes a fortieth of that


class Pace:
    """How quick a kind of work was last, on the event loops of a process."""

    def __init__(self) -> None:
        self._made_up_s = 0.0  # when slow work will have been a twentieth of the time since it began
        self._in_a_row_s = 0.0

    def is_quick(self) -> bool:
        """Say whether the next one may be done on an event loop."""
        return self._made_up_s - time.perf_counter() <= _SPARED * _LET_PASS_S

    def measured(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do such work on an event loop; its time is taken, whatever it raises."""
        began_s = time.perf_counter()
        try:
            return work(*args, **kwargs)
        finally:
            ended_s = time.perf_counter()
            took_s = ended_s - began_s
            if took_s > _MOST_S:
                self._made_up_s = max(self._made_up_s, ended_s) + _SPARED * took_s
            self._in_a_row_s += took_s

    def is_others_turn(self) -> bool:
        """Say whether others on the loop are to have their turn now; if so, what comes after is a new row."""
        if self._in_a_row_s < _TURN_S:
            return False
        self._in_a_row_s = 0.0
        return True


@coroutine
def others_first() -> Generator[None]:
    """Await this to let whatever else is ready on the loop have its turn."""
    yield
