"""The contract of a checkpointer: a few operations over opaque bytes, each done whole or not at all.

An operation is a value; an engine carries it out with `execute`, or with `aexecute` off the event loop. There is no
default for either: only the engine knows how to make them atomic.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct

from clew.engine.pacing import Limit, Use
from clew.engine.records import Piece, Record, Run, Status, ThreadKey
from clew.errors import Conflict

T = TypeVar("T")

#: What a run is asked to do at its next call: end as interrupted, vanish with its records, or end as cancelled.
Asked = Literal["interrupt", "rollback", "cancel"]


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


def removed(thread: ThreadKey, run: Run) -> Conflict:
    """Return the error of a new run whose `previous` was removed since it was read."""
    return Conflict(
        f"run {run.previous} of thread {thread.thread_id!r} of {thread.workflow!r}, from which a new one starts, was "
        "removed meanwhile: the thread was deleted or pruned"
    )


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
        evicts: owners that are known to be dead, whose leases and places in the queue count as run out.
        queued: id of the place in the queue that this serves, and removes.
        limit: of the thread's workflow, or None for a run that no limit concerns.

    A new run waits for the places before its own, or for all of them if it has none: submitted calls whose time has
    come (`due_s`), and callers whose time has not run out (`until_s`). Those of the same owner do not count: among
    themselves the callers of a process keep order, and each of them comes with the first place of any. Else a process
    whose callers go in another order than their places would wait for one that waits for it.

    A run that is continued waits for no place. When the thread was due is forgotten, and so is what its run was asked,
    but for "cancel": that stays until the run has ended, for whoever goes on with it after a crash or a hand-over.

    With a `limit`, the thread is taken only if fewer than `limit.concurrency` others of the workflow are held, those of
    `evicts` left out; and if fewer than `limit.rate` were taken with a limit in the last `limit.per_s` seconds. No two
    are let in at once, however many try.

    Raises:
        LimitReached: that many are held, or were taken.
        ThreadBusy: another owner holds the lease or comes first; the error's `owner` says who, "" for a submitted
            call.
        Conflict: `head` is no longer the newest run, or no longer stands as it did; what a new run is given as
            `previous` was removed; or `queued` is gone.
    """

    thread: ThreadKey
    run: Run
    head: Run | None
    records: Sequence[Record] = ()
    owner: str
    until_s: float
    now_s: float
    evicts: Sequence[str] = ()
    queued: str | None = None
    limit: Limit | None = None

    @property
    def takes_over(self) -> bool:
        """Whether the run is one that has not ended: its process died, or handed it over."""
        return self.head is not None and self.head.id == self.run.id and self.head.status == "running"


class End(Struct, frozen=True, kw_only=True):
    """How a run ended; with it the lease is given back.

    Args:
        status: done, failed, interrupted or cancelled; "running" to hand the run over to whoever finds it due.
        value: the encoded returned value of a run that is done.
        saved: the encoded value for the next run, where it differs from `value`.
        error: text of the exception of a run that failed.
        questions: the encoded questions of a run that is interrupted.
        ended_s: seconds since the epoch.
        reopened: keys of recorded failures that are to be tried again when the run is continued.
        due_s: when a worker is to look at the thread again, because a question's time is over then or the run is to
            go on elsewhere; or None.
        removes: whether the run goes with its journal and pieces, so that the run before it is the newest again.
    """

    status: Status
    value: bytes | None = None
    saved: bytes | None = None
    error: str | None = None
    questions: bytes = b""
    ended_s: float
    reopened: Sequence[str] = ()
    due_s: float | None = None
    removes: bool = False


class Append(Operation[Asked | None], frozen=True, kw_only=True):
    """Keep outcomes of a run, together with the memories written by them and, at last, how the run ended.

    Args:
        lease: the writer's right.
        records: added to the run's journal; a record whose key is there already takes its place only if
            the kept one is a failure or its key is in `replaces`.
        pieces: of lists in what the run saved; see codec.growing.
        writes: memories prepared by the store that lives in the same database.
        replaces: keys of records that are run again.
        also: finished runs of nested workflows, for the threads on which these remember.
        end: set with the last append of an execution.

    Returns:
        what the run is asked to do, if anything; None once it has ended.

    Raises:
        Conflict: the lease was taken by another writer, or a record is there already. Nothing is kept.
        What Keep raises, of `also`. Nothing is kept.
    """

    lease: Lease
    records: Sequence[Record] = ()
    pieces: Sequence[Piece] = ()
    writes: Sequence[Any] = ()
    replaces: Sequence[str] = ()
    also: Sequence[Keep] = ()
    end: End | None = None

    @property
    def is_of_records(self) -> bool:
        """Whether nothing but records is added, as nearly always: then those of other calls may go with them."""
        return not (self.end or self.pieces or self.writes or self.replaces or self.also)


class Renew(Operation[None], frozen=True):
    """Hold the lease for longer. Raises Conflict if another writer has it."""

    lease: Lease
    until_s: float


class Watch(Operation[Mapping[str, Asked]], frozen=True):
    """Read what the runs of some leases are asked to do: by run_id, only those that are asked something."""

    leases: Sequence[Lease]


class Ask(Operation[bool], frozen=True):
    """Ask the run that holds a thread to stop; say whether one does. What was asked last stands.

    One that was handed over can be asked "cancel": whoever takes it up is told.

    Args:
        thread: whose.
        what: see Asked.
        run_id: only if it is this run, or None.
    """

    thread: ThreadKey
    what: Asked
    run_id: str | None = None


class LoadUse(Operation[Mapping[str, Use]], frozen=True):
    """Read how much of the limits of some workflows is in use; see Begin."""

    limits: Mapping[str, Limit]
    now_s: float


class AddEvents(Operation[None], frozen=True):
    """Keep events of a run for readers elsewhere, in order. Raises Conflict if another writer has taken up the run.

    The last events of a run may come after its end, when the next run of the thread has begun already.
    """

    lease: Lease
    events: Sequence[bytes]


class LoadEvents(Operation[Sequence[tuple[int, bytes]]], frozen=True):
    """Read the events of a run whose numbers are above `after`, in order, each with its number (from 1)."""

    run_id: str
    after: int = 0


class Keep(Operation[Run], frozen=True):
    """Add a finished run to a thread without executing anything: a value set by hand, or a fork.

    Args:
        thread: whose.
        run: as it is to be kept; its number is set here.
        head: the thread's newest run as the caller saw it, or None.
        now_s: the clock.
        evicts: owners that are known to be dead, whose leases count as run out.
        pieces: of lists in what the run saved.
        regardless: whether it is kept whatever the newest run is, and whoever holds the lease; it builds on nothing.

    Raises:
        ThreadBusy: somebody holds the lease; the error's `owner` says who.
        Conflict: `head` is no longer the newest run, or no longer stands as it did; what `run` was given as `previous`
            was removed; or a piece that one of `pieces` follows.
    """

    thread: ThreadKey
    run: Run
    head: Run | None
    now_s: float
    evicts: Sequence[str] = ()
    pieces: Sequence[Piece] = ()
    regardless: bool = False


class DeleteThread(Operation[int], frozen=True):
    """Remove everything kept under a thread_id, whatever the workflow. Returns how many runs were removed.

    The thread itself stays as a tombstone with a higher epoch, which no list shows: a writer that was under way cannot
    revive what was removed, and a new run of that name begins afresh.

    Args:
        thread_id: whose.
        now_s: the clock.
        entirely: whether not even the tombstone stays.
    """

    thread_id: str
    now_s: float
    entirely: bool = False


class Checkpointer(ABC):
    """Keeps the threads of workflows: their runs, and the journal of each run."""

    #: The database below. A store whose database has the same `identity` commits together with this checkpointer.
    database: Any

    @abstractmethod
    def execute(self, operation: Operation[T]) -> T:
        """Carry out an operation and return once it is kept.

        Args:
            operation: one of the operations of clew.storage.base.

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
        """Remove everything kept under a thread_id, whatever the workflow, with calls that wait for it.

        A run under way on it fails with Conflict at its next write.

        Args:
            thread_id: the thread; one that there is not may be deleted.

        Raises:
            StorageError: nothing was removed.
        """
        self.execute(DeleteThread(str(thread_id), time.time()))

    async def adelete_thread(self, thread_id: str) -> None:
        """Like `delete_thread`, for async code."""
        await self.aexecute(DeleteThread(str(thread_id), time.time()))

    @abstractmethod
    def close(self) -> None:
        """Give back what the engine holds. Closing twice is fine."""
