"""Says whether a kind of work may be done on an event loop: while it takes less than to have an OS thread do it.

Now and then such work takes long, because a log is copied or a disk is busy. After that the loop is spared for a while.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from types import coroutine

_MOST_S = 0.0003  # about what it takes to wake another OS thread and to be woken by it
_SPARED = 20  # times as long as what was slow took, so that of all time slow work takes a twentieth at most


class Pace:
    """How quick a kind of work was last."""

    def __init__(self) -> None:
        self._again_s = 0.0

    def is_quick(self) -> bool:
        """Say whether the next one may be done on an event loop."""
        return time.perf_counter() >= self._again_s

    @contextlib.contextmanager
    def measured(self) -> Generator[None]:
        """Take the time of a block that does such work on an event loop."""
        began_s = time.perf_counter()
        try:
            yield
        finally:
            ended_s = time.perf_counter()
            if ended_s - began_s > _MOST_S:
                self._again_s = ended_s + _SPARED * (ended_s - began_s)


@coroutine
def others_first() -> Generator[None]:
    """Await this to let whatever else is ready on the loop have its turn."""
    yield
