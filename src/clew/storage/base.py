"""The contract of a checkpointer: a few operations over opaque bytes, each done whole or not at all.

An operation is a value; an engine carries it out with `execute`, or with `aexecute` off the event loop. There is no
default for either: only the engine knows how to make them atomic.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from clew.engine.records import Piece, Record, Run, Status, ThreadKey

T = TypeVar("T")


class Operation(Struct, Generic[T], frozen=True):
    """Something a checkpointer does; `T` is what comes back."""


class Lease(Struct, frozen=True):
    """The right to write to a thread, until somebody else takes it.

    Args:
        thread: whose.
        run_id: the run it was taken for.
        epoch: grows with every taking, also when the thread is deleted and made anew; an append under an older one is
            refused.
        handle: what the engine needs to find thread and run again quickly.
    """

    thread: ThreadKey
    run_id: str
    epoch: int
    handle: Any = None


def first_epoch(now_s: float) -> int:
    """Return the epoch of a new thread: above all that a deleted thread of the same name can have reached."""
    return int(now_s * 1_000_000)


class Load(Operation[Run | None], frozen=True):
    """Read one run of a thread: the one named, or the newest."""

    thread: ThreadKey
    run_id: str | None = None


class ListRuns(Operation[Sequence[Run]], frozen=True):
    """Read the runs of a thread, newest first.

    Args:
        thread: whose.
        before: only runs whose number is smaller, or None.
        limit: at most so many, or None.
    """

    thread: ThreadKey
    before: int | None = None
    limit: int | None = None


class LoadRecords(Operation[Sequence[Record]], frozen=True):
    """Read the journal of a run, oldest record first; only records called `name` if one is given."""

    run_id: str
    name: str | None = None


class LoadPieces(Operation[Sequence[Piece]], frozen=True):
    """Read the pieces of a list that a thread saved: the one named and all those before it, oldest first."""

    last: str


class ListThreads(Operation[Sequence[ThreadKey]], frozen=True):
    """Read which threads there are, those changed last first.

    Args:
        workflow: only those of this workflow, or None.
        limit: at most so many.
    """

    workflow: str | None = None
    limit: int = 100


class Begin(Operation[Lease], frozen=True, kw_only=True):
    """Take the lease of a thread and keep a new run's input, or take up a kept run again, in one transaction.

    Args:
        thread: whose.
        run: the run as it is to be kept from now on.
        head: the thread's newest run as the caller saw it, or None for a thread without runs.
        records: put at the end of the run's journal, in place of those with the same keys.
        owner: who takes the lease.
        until_s: seconds since the epoch, when the lease runs out unless it is renewed.
        now_s: the clock.
        evicts: an owner that is known to be dead, whose lease counts as run out.

    Raises:
        ThreadBusy: another owner holds the lease; the error's `owner` says who.
        Conflict: `head` is no longer the newest run, or no longer stands as it did.
    """

    thread: ThreadKey
    run: Run
    head: Run | None
    records: Sequence[Record] = ()
    owner: str
    until_s: float
    now_s: float
    evicts: str | None = None


class End(Struct, frozen=True, kw_only=True):
    """How a run ended; with it the lease is given back.

    Args:
        status: done, failed or interrupted.
        value: the encoded returned value of a run that is done.
        saved: the encoded value for the next run, where it differs from `value`.
        error: text of the exception of a run that failed.
        questions: the encoded questions of a run that is interrupted.
        ended_s: seconds since the epoch.
        reopened: keys of recorded failures that are to be tried again when the run is continued.
    """

    status: Status
    value: bytes | None = None
    saved: bytes | None = None
    error: str | None = None
    questions: bytes = b""
    ended_s: float
    reopened: Sequence[str] = ()


class Append(Operation[None], frozen=True, kw_only=True):
    """Keep outcomes of a run, together with the memories written by them and, at last, how the run ended.

    Args:
        lease: the writer's right.
        records: added to the run's journal; a record whose key is there already takes its place only if
            the kept one is a failure or its key is in `replaces`.
        pieces: of lists in what the run saved; see codec.growing.
        writes: memories prepared by the store that lives in the same database.
        replaces: keys of records that are run again.
        also: finished runs of nested workflows that remember, each with its thread.
        end: set with the last append of an execution.

    Raises:
        Conflict: the lease was taken by another writer, or a record is there already. Nothing is kept.
    """

    lease: Lease
    records: Sequence[Record] = ()
    pieces: Sequence[Piece] = ()
    writes: Sequence[Any] = ()
    replaces: Sequence[str] = ()
    also: Sequence[tuple[ThreadKey, Run]] = ()
    end: End | None = None


class Renew(Operation[None], frozen=True):
    """Hold the lease for longer. Raises Conflict if another writer has it."""

    lease: Lease
    until_s: float


class Keep(Operation[Run], frozen=True):
    """Add a finished run to a thread without executing anything: a value set by hand, or a fork.

    Args:
        thread: whose.
        run: as it is to be kept; its number is set here.
        head: the thread's newest run as the caller saw it, or None.
        now_s: the clock.
        evicts: an owner that is known to be dead, whose lease counts as run out.

    Raises:
        ThreadBusy: somebody holds the lease; the error's `owner` says who.
        Conflict: `head` is no longer the newest run, or no longer stands as it did.
    """

    thread: ThreadKey
    run: Run
    head: Run | None
    now_s: float
    evicts: str | None = None


class DeleteThread(Operation[int], frozen=True):
    """Remove everything kept under a thread_id, whatever the workflow. Returns how many runs were removed."""

    thread_id: str


class Checkpointer(ABC):
    """Keeps the threads of workflows: their runs, and the journal of each run."""

    #: The database below. A store whose database has the same `identity` commits together with this checkpointer.
    database: Any

    @abstractmethod
    def execute(self, operation: Operation[T]) -> T:
        """Carry out an operation and return once it is kept.

        Raises:
            StorageError: nothing of the operation was kept.
        """

    @abstractmethod
    async def aexecute(self, operation: Operation[T]) -> T:
        """Like `execute`, without holding up the event loop.

        A write that has begun is finished and its result returned although the caller was cancelled meanwhile; the
        cancellation is delivered at the caller's next await.
        """

    def delete_thread(self, thread_id: str) -> None:
        """Remove everything kept under a thread_id."""
        self.execute(DeleteThread(str(thread_id)))

    async def adelete_thread(self, thread_id: str) -> None:
        """Remove everything kept under a thread_id."""
        await self.aexecute(DeleteThread(str(thread_id)))

    @abstractmethod
    def close(self) -> None:
        """Give back what the engine holds. Closing twice is fine."""
