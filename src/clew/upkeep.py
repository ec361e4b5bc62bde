"""Keep a database small and clean: remove what is old, and everything that belongs to somebody."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any

from clew.database import Database
from clew.engine.pruning import Keeping
from clew.errors import InvalidOption
from clew.runner import erasing, pruning
from clew.runner.async_io import ON_LOOP, run_awaited
from clew.runner.erasing import Erased
from clew.runner.io import run_blocking
from clew.runner.pruning import Pruned
from clew.runner.sync_io import BLOCKING
from clew.storage.base import Checkpointer
from clew.store.namespaces import check_namespace
from clew.store.operations import Namespace
from clew.store.transactional import TransactionalStore

__all__ = ["Erased", "Pruned", "aerase", "aprune", "erase", "prune"]

Progress = Callable[[int], object]


def prune(
    where: Database | Checkpointer,
    *,
    keep_last: int | None = None,
    keep_for: timedelta | None = None,
    thread_id: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
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
        progress: called with the number of threads that were looked at.

    Returns:
        How much went. The file does not shrink by it, but what is added next takes the free place; `compact` of the
        database gives it back.

    Raises:
        InvalidOption: neither `keep_last` nor `keep_for`, or one that means nothing.
        StorageError: the database did not do it; threads that came before are pruned.
    """
    keeping = check_keeping(keep_last, keep_for)
    return run_blocking(
        pruning.prune(BLOCKING, _saver(where), keeping, thread_id=thread_id, dry_run=dry_run, seen=progress)
    )


async def aprune(
    where: Database | Checkpointer,
    *,
    keep_last: int | None = None,
    keep_for: timedelta | None = None,
    thread_id: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Pruned:
    """Like `prune`, for async code."""
    keeping = check_keeping(keep_last, keep_for)
    procedure = pruning.prune(ON_LOOP, _saver(where), keeping, thread_id=thread_id, dry_run=dry_run, seen=progress)
    return await run_awaited(procedure)


def erase(
    database: Database,
    subject: str,
    *,
    keys: Collection[str] = ("user_id",),
    namespaces: Sequence[Sequence[str]] | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Erased:
    """Remove everything of a subject, such as a user, and leave no trace of it.

    A thread belongs to everybody whom the configs of its runs name, in `configurable` or `metadata`, under one of
    `keys`; where they name nobody, to the one that the thread is called like. It goes with its runs, with calls that
    wait for it, and with its name. A namespace belongs to everybody who is one of its labels; it goes with all below
    it: memories, their old versions and vectors. Then the database is compacted.

    A run under way on one of these threads fails with Conflict. Results in a cache are not looked at; clear it.

    Args:
        database: where.
        subject: matched exactly, as a whole.
        keys: which entries of a thread's metadata name a subject.
        namespaces: those to be removed with all below them, instead of those that have the subject as a label.
        dry_run: say only what would go. Do that first: an id such as "1" may also name something else.
        progress: called with the number of threads that were looked at.

    Returns:
        What went.

    Raises:
        InvalidOption: there is no subject, or `keys` is a text.
        StorageError: the database did not do it; it can be done again.
    """
    parts = _checked(database, subject, keys, namespaces)
    erased = run_blocking(erasing.erase(BLOCKING, *parts, dry_run=dry_run, seen=progress))
    if not dry_run:
        database.compact()
    return erased


async def aerase(
    database: Database,
    subject: str,
    *,
    keys: Collection[str] = ("user_id",),
    namespaces: Sequence[Sequence[str]] | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Erased:
    """Like `erase`, for async code."""
    parts = _checked(database, subject, keys, namespaces)
    erased = await run_awaited(erasing.erase(ON_LOOP, *parts, dry_run=dry_run, seen=progress))
    if not dry_run:
        await database.acompact()
    return erased


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
    if isinstance(where, Checkpointer):
        return where
    if not isinstance(saver := getattr(where, "checkpointer", None), Checkpointer):
        raise InvalidOption(f"threads are pruned in a Database or a checkpointer, not in {where!r}")
    return saver


def _checked(
    database: Database, subject: str, keys: Collection[str], namespaces: Sequence[Sequence[str]] | None
) -> tuple[Checkpointer, TransactionalStore[Any], str, Collection[str], list[Namespace] | None]:
    if not isinstance(getattr(database, "checkpointer", None), Checkpointer):
        raise InvalidOption(f"a subject is erased from a Database, its threads and memories together, not {database!r}")
    if not isinstance(subject, str) or not subject:
        raise InvalidOption(f"a subject is a text such as a user id, not {subject!r}")
    if isinstance(keys, str):
        raise InvalidOption(f"keys is a list of names such as ['user_id'], not the text {keys!r}")
    prefixes = None if namespaces is None else [check_namespace(labels) for labels in namespaces]
    return database.checkpointer, movable(database), subject, keys, prefixes


def movable(database: Database) -> TransactionalStore[Any]:
    """Return a database's store as one of which everything can be reached.

    Raises:
        InvalidOption: it is of another kind.
    """
    if not isinstance(database.store, TransactionalStore):
        raise InvalidOption(f"the store of {database!r} does not let everything that it keeps be reached")
    return database.store
