"""The verbs for blocking calls of one run that go on side by side: none has an OS thread wait for its commit.

While one OS thread of the crew keeps what calls came to, the others go on to further calls; what these come to goes
with the next commit. To let each thread wait, and wake it, would take longer than most calls.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, TypeVar, cast

from msgspec.structs import replace

from clew.errors import Conflict
from clew.runner import pools
from clew.runner.sync_io import SyncIO
from clew.storage.base import Append, Asked, Checkpointer, Operation

T = TypeVar("T")

_MOST_TOGETHER = 256
_MOST_BYTES = 1_000_000  # of outcomes together: for more, a commit of its own is no loss


class CrewIO(SyncIO):
    """Like SyncIO, but a procedure may stop at an await, with an Unkept: that is told how to go on with it later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Unkept] = deque()
        self._is_keeping = False

    async def keep(self, saver: Checkpointer, operation: Operation[T]) -> T:
        append: Operation[Any] = operation
        waits_long = len(self._waiting) >= _MOST_TOGETHER  # what was done and is not kept is lost in a crash
        if type(append) is not Append or not append.is_of_records or waits_long:
            return saver.execute(operation)
        if not self._begins_to_keep():
            return cast(T, await Unkept(self, saver, append))
        try:
            return saver.execute(operation)
        finally:
            if not self._ends_keeping():
                pools.crew().go_on(self._keep_waiting)

    def add(self, unkept: Unkept) -> None:
        """Have something kept with all that waits: by this OS thread, if no other one is at it."""
        self._waiting.append(unkept)
        if self._begins_to_keep():
            self._keep_waiting()

    def _begins_to_keep(self) -> bool:
        """Say whether this OS thread is to keep what waits, for no other one does."""
        with self._lock:
            begins, self._is_keeping = not self._is_keeping, True
        return begins

    def _ends_keeping(self) -> bool:
        """Say whether nothing waits; else this OS thread has to keep it, or to let another one."""
        with self._lock:
            self._is_keeping = bool(self._waiting)
        return not self._is_keeping

    def _keep_waiting(self) -> None:
        while not self._ends_keeping():
            batch: list[Unkept] = []
            size = 0
            while self._waiting and len(batch) < _MOST_TOGETHER and size < _MOST_BYTES:
                batch.append(self._waiting.popleft())
                size += batch[-1].size
            _keep(batch)


class Unkept:
    """Records of a call that wait to be kept.

    Awaited, it stops the procedure; then it gives what the run was asked meanwhile, or raises why they are not kept.
    """

    __slots__ = ("append", "asked", "error", "go_on", "io", "saver", "size")

    go_on: Callable[[], None]

    def __init__(self, io: CrewIO, saver: Checkpointer, append: Append) -> None:
        self.io = io
        self.saver = saver
        self.append = append
        self.size = sum(len(record.outcome) for record in append.records)
        self.asked: Asked | None = None
        self.error: BaseException | None = None

    def __await__(self) -> Generator[Unkept, None, Asked | None]:
        yield self
        if self.error is not None:
            raise self.error
        return self.asked

    def wait(self, go_on: Callable[[], None]) -> None:
        """Have the crew call `go_on` once they are kept, or cannot be. It may be this OS thread that keeps them now."""
        self.go_on = go_on
        self.io.add(self)


def _keep(batch: list[Unkept]) -> None:
    """Keep what waits in one transaction; let all go on, the first one first."""
    saver, append = batch[0].saver, batch[0].append
    if batch[1:]:
        append = replace(append, records=[record for unkept in batch for record in unkept.append.records])
    asked: Asked | None = None
    error: BaseException | None = None
    try:
        asked = saver.execute(append)
    except Conflict as conflict:
        if batch[1:]:  # nothing was kept, and each is to get its own error
            for unkept in batch:
                _keep([unkept])
            return
        error = conflict
    except BaseException as failure:
        error = failure
    for unkept in reversed(batch):
        unkept.asked, unkept.error = asked, error
        pools.crew().go_on(unkept.go_on)
