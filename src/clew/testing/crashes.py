"""Crashes within this process: a checkpointer that stops at a chosen append, as if the process had died there."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from msgspec.structs import replace

from clew.runner.leases import this_machine
from clew.storage.base import Append, Begin, Checkpointer, Operation

T = TypeVar("T")


class SimulatedCrash(BaseException):
    """The process died here, as far as the checkpointer is concerned.

    No Exception, hence no `except Exception` of a workflow stops it: a process that is killed handles nothing.
    """


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """Where a run crashes.

    Args:
        number: of the append, from 1; the first one keeps the run's input, the last one how it ended.
        moment: "before" the append is carried out, or "after", but before anybody hears that it was.
    """

    number: int
    moment: Literal["before", "after"]

    def __str__(self) -> str:
        return f"{self.moment} append {self.number}"


class CrashingCheckpointer(Checkpointer):
    """A checkpointer around another, for one life of a process: it ends at a crash point.

    From then on every operation raises SimulatedCrash, so that nothing is kept any more of what still runs. Threads
    that it holds then can be taken at once, as those of a dead process: by the other checkpointer, or by another
    one of these.

    Args:
        saver: keeps the threads; it is not closed with this one.
        at: where to crash, or None to count appends only.
    """

    def __init__(self, saver: Checkpointer, at: CrashPoint | None = None) -> None:
        self._saver = saver
        self._at = at
        self._lock = threading.Lock()
        self.database: Any = saver.database
        self.appends = 0
        self.has_crashed = False
        self.recorded: set[str] = set()

    def execute(self, operation: Operation[T]) -> T:
        """See Checkpointer.execute.

        Raises:
            SimulatedCrash: the crash point was reached.
        """
        self._before(operation)
        result = self._saver.execute(_of_the_dead(operation))
        self._after(operation)
        return result

    async def aexecute(self, operation: Operation[T]) -> T:
        """See Checkpointer.aexecute.

        Raises:
            SimulatedCrash: the crash point was reached.
        """
        self._before(operation)
        result = await self._saver.aexecute(_of_the_dead(operation))
        self._after(operation)
        return result

    def close(self) -> None:
        """Leave the other one open."""

    def _before(self, operation: Operation[Any]) -> None:
        with self._lock:
            if isinstance(operation, Begin | Append):
                self._crash_at(CrashPoint(self.appends + 1, "before"))
            self._check()

    def _after(self, operation: Operation[Any]) -> None:
        with self._lock:
            if isinstance(operation, Append):
                self.recorded.update(record.key for record in operation.records)
                self.recorded.difference_update(operation.end.reopened if operation.end is not None else ())
            if isinstance(operation, Begin | Append):
                self.appends += 1
                self._crash_at(CrashPoint(self.appends, "after"))
            self._check()

    def _crash_at(self, point: CrashPoint) -> None:
        self.has_crashed = self.has_crashed or point == self._at

    def _check(self) -> None:
        if self.has_crashed:
            raise SimulatedCrash(f"the process died {self._at}")


def _of_the_dead(operation: Operation[T]) -> Operation[T]:
    """Take threads in the name of a process that is known to have ended, so that nobody waits for it."""
    if not isinstance(operation, Begin):
        return operation
    begin: Any = replace(operation, owner=f"{this_machine()}/0/crashed")
    return begin  # type: ignore[no-any-return]
