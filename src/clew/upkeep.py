"""Keep a database small and clean: remove what is old, and everything that belongs to somebody."""

from __future__ import annotations

import time
from datetime import timedelta

from clew.database import Database
from clew.engine.pruning import Keeping
from clew.errors import InvalidOption
from clew.runner import pruning
from clew.runner.async_io import AsyncIO
from clew.runner.io import run_blocking
from clew.runner.pruning import Pruned
from clew.runner.sync_io import BLOCKING
from clew.storage.base import Checkpointer

__all__ = ["Pruned", "aprune", "prune"]


def prune(
    where: Database | Checkpointer,
    *,
    keep_last: int | None = None,
    keep_for: timedelta | None = None,
    thread_id: str | None = None,
    dry_run: bool = False,
) -> Pruned:
    """Remove old runs with their checkpoints and journals, and what is left of deleted threads.

    A run stays if one of the two says so. The newest run of a thread always stays, and so does what it was given as
    `previous`: a question that waits can be answered, a run under way goes on. Whatever stays reads as before.

    Args:
        where: a database, or a checkpointer.
        keep_last: how many of each thread's newest runs stay, from 1.
        keep_for: how long after they began or ended runs stay.
        thread_id: only this thread; all if not given.
        dry_run: whether to say only what would go.

    Returns:
        How much went. The file does not shrink by it, but what is added next takes the free place; `compact` of the
        database gives it back.

    Raises:
        InvalidOption: neither `keep_last` nor `keep_for`, or one that means nothing.
        StorageError: the database did not do it; threads that came before are pruned.
    """
    keeping = check_keeping(keep_last, keep_for)
    return run_blocking(pruning.prune(BLOCKING, _saver(where), keeping, thread_id=thread_id, dry_run=dry_run))


async def aprune(
    where: Database | Checkpointer,
    *,
    keep_last: int | None = None,
    keep_for: timedelta | None = None,
    thread_id: str | None = None,
    dry_run: bool = False,
) -> Pruned:
    """Like `prune`, for async code."""
    keeping = check_keeping(keep_last, keep_for)
    return await pruning.prune(AsyncIO(), _saver(where), keeping, thread_id=thread_id, dry_run=dry_run)


def check_keeping(keep_last: int | None, keep_for: timedelta | None) -> Keeping:
    """Return what is to stay.

    Raises:
        InvalidOption: see prune.
    """
    if keep_last is None and keep_for is None:
        raise InvalidOption("say what is to stay: keep_last=10, keep_for=timedelta(days=30), or both")
    if keep_last is not None and (isinstance(keep_last, bool) or not isinstance(keep_last, int) or keep_last < 1):
        raise InvalidOption(f"keep_last is a number of runs from 1, not {keep_last!r}; delete_thread removes all")
    if keep_for is not None and (not isinstance(keep_for, timedelta) or keep_for < timedelta()):
        raise InvalidOption(f"keep_for is a timedelta such as timedelta(days=30), not {keep_for!r}")
    since_s = None if keep_for is None else time.time() - keep_for.total_seconds()
    return Keeping(last=keep_last or 0, since_s=since_s)


def _saver(where: Database | Checkpointer) -> Checkpointer:
    return where if isinstance(where, Checkpointer) else where.checkpointer
