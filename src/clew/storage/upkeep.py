"""The contract for keeping a checkpointer small and for moving threads: operations on whole threads. See base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from clew.engine.records import Piece, Queued, Record, Run, ThreadKey
from clew.storage.base import Operation


class WalkThreads(Operation[Sequence[ThreadKey]], frozen=True):
    """Read which threads have runs or a queue, in the order of their names.

    Args:
        after: only those after this one, or None.
        limit: at most so many.
    """

    after: ThreadKey | None = None
    limit: int = 100


class ForgetDeleted(Operation[int], frozen=True):
    """Remove the tombstones of threads that were deleted before a time, in seconds. Returns how many there were."""

    before_s: float


class ListPieces(Operation[Mapping[str, str | None]], frozen=True):
    """Read which pieces a thread keeps: by id, the id of the one before it."""

    thread: ThreadKey


class Prune(Operation[None], frozen=True, kw_only=True):
    """Remove what nobody needs any more of a thread; what is to be removed was decided by the caller.

    Args:
        thread: whose.
        head: the thread's newest run as the caller saw it.
        runs: ids of runs that go with their journals and events.
        trimmed: ids of runs of which only the end stays: inputs, journals and events go.
        pieces: ids of pieces that go.

    Raises:
        Conflict: `head` is no longer the newest run, or no longer stands as it did. Nothing was removed.
    """

    thread: ThreadKey
    head: Run
    runs: Sequence[str] = ()
    trimmed: Sequence[str] = ()
    pieces: Sequence[str] = ()


#: Owns the lease, which has run out, of a run that was under way in the database where its thread comes from.
ELSEWHERE = "elsewhere"


class WholeThread(Struct, frozen=True, kw_only=True):
    """Everything that is kept of a thread.

    Args:
        thread: which.
        runs: all its runs, oldest first, each with its journal.
        pieces: of what they saved, each after those before it.
        queue: submitted calls that wait, first come first.
        due_s: see End.
    """

    thread: ThreadKey
    runs: Sequence[tuple[Run, Sequence[Record]]] = ()
    pieces: Sequence[Piece] = ()
    queue: Sequence[Queued] = ()
    due_s: float | None = None

    @property
    def is_running(self) -> bool:
        """Whether its newest run was under way."""
        return bool(self.runs) and self.runs[-1][0].status == "running"


class LoadThread(Operation[WholeThread | None], frozen=True):
    """Read a whole thread as it is at one moment; None where there is no such thread."""

    thread: ThreadKey


class KeepThread(Operation[None], frozen=True):
    """Keep a whole thread that comes from elsewhere, in one transaction. A run that was running counts as crashed.

    Args:
        whole: what.
        now_s: the clock.

    Raises:
        Conflict: there is such a thread, run, piece or place in a queue already. Nothing was kept.
    """

    whole: WholeThread
    now_s: float
