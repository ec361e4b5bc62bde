"""The procedure by which threads are pruned: read what there is, let the engine decide, remove."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from clew.codec.growing import last_pieces
from clew.engine.pruning import Keeping, Outcome, decide, left_over
from clew.engine.records import Run, ThreadKey
from clew.errors import Conflict
from clew.runner.io import RunnerIO
from clew.storage.base import Checkpointer, ListRuns
from clew.storage.upkeep import ForgetDeleted, ListPieces, Prune, WalkThreads

_TRIES = 10
_PAUSE_S = 0.01
_PAGE = 100


@dataclass(slots=True, kw_only=True)
class Pruned:
    """What went, or would go.

    Args:
        threads: of which something went.
        runs: that went with all that was kept of them.
        trimmed: runs of which only the end stays, because a later one was given what they saved.
        pieces: of saved lists.
        tombstones: what was left of deleted threads.
    """

    threads: int = 0
    runs: int = 0
    trimmed: int = 0
    pieces: int = 0
    tombstones: int = 0


async def prune(
    io: RunnerIO,
    saver: Checkpointer,
    keeping: Keeping,
    *,
    thread_id: str | None = None,
    dry_run: bool = False,
    seen: Callable[[int], object] | None = None,
) -> Pruned:
    """Remove what is old and not needed, thread by thread.

    Args:
        io: the verbs.
        saver: where the threads are kept.
        keeping: which runs stay for their own sake.
        thread_id: only threads of that name, or None.
        dry_run: whether to count only.
        seen: called with the number of threads that were looked at.

    Raises:
        Conflict: a thread was changed by others again and again. What went before is gone.
    """
    total, looked_at = Pruned(), 0
    async for thread in walk(io, saver, thread_id):
        await _prune_thread(io, saver, thread, keeping, total, dry_run=dry_run)
        looked_at += 1
        if seen is not None:
            seen(looked_at)
    if thread_id is None and keeping.since_s is not None and not dry_run:
        total.tombstones = await io.keep(saver, ForgetDeleted(keeping.since_s))
    return total


async def walk(io: RunnerIO, saver: Checkpointer, thread_id: str | None = None) -> AsyncIterator[ThreadKey]:
    """Give all threads, or those of one name, in the order of their names; each page is read when it is needed."""
    after = None if thread_id is None else ThreadKey(thread_id, "")
    while page := await io.keep(saver, WalkThreads(after, _PAGE)):
        for thread in page:
            if thread_id not in (None, thread.thread_id):
                return
            yield thread
        after = page[-1]


async def _prune_thread(
    io: RunnerIO, saver: Checkpointer, thread: ThreadKey, keeping: Keeping, total: Pruned, *, dry_run: bool
) -> None:
    for tried in range(_TRIES):
        runs = await io.keep(saver, ListRuns(thread))
        outcome = decide(runs, keeping)
        if not (outcome.gone or outcome.trimmed):
            return
        # Read after the runs: what a run adds meanwhile is newer than what they name, and the check of the head fails.
        pieces = left_over(await io.keep(saver, ListPieces(thread)), _named(outcome))
        if not dry_run:
            try:
                await io.keep(saver, _operation(thread, runs[0], outcome, pieces))
            except Conflict:
                if tried == _TRIES - 1:
                    raise
                await io.sleep(_PAUSE_S * 2**tried)  # it is in use
                continue
        total.threads += 1
        total.runs += len(outcome.gone)
        total.trimmed += len(outcome.trimmed)
        total.pieces += len(pieces)
        return


def _operation(thread: ThreadKey, head: Run, outcome: Outcome, pieces: list[str]) -> Prune:
    return Prune(thread=thread, head=head, runs=outcome.gone, trimmed=outcome.trimmed, pieces=pieces)


def _named(outcome: Outcome) -> list[str]:
    """Return the last piece of every list in the values that stay."""
    frames = [frame for run in outcome.stay for frame in (run.value, run.saved) if frame is not None]
    return [piece for frame in frames for piece in last_pieces(frame).values()]
