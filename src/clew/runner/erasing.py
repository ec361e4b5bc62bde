"""The procedure by which everything of a subject is removed: its threads, what waits for them, its memories."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from clew.codec.values import decode
from clew.engine.records import Queued, Run
from clew.engine.state import kept_config
from clew.engine.subjects import owned_prefixes, owns_thread
from clew.runner.io import RunnerIO
from clew.runner.pruning import walk
from clew.runner.submitting import CallOptions
from clew.storage.base import Checkpointer, DeleteThread, ListRuns
from clew.storage.queueing import ListQueue
from clew.storage.upkeep import ForgetDeleted
from clew.store.keeper import Erased as Memories
from clew.store.keeper import How
from clew.store.operations import Namespace
from clew.store.transactional import TransactionalStore


@dataclass(slots=True, kw_only=True)
class Erased:
    """What was removed, or would be.

    Args:
        threads: how many.
        runs: on these threads.
        queued: calls that waited for these threads.
        items: memories.
        versions: old versions of memories.
        vectors: memories that were found by their meaning.
        thread_ids: which threads.
        namespaces: which namespaces, with all below them.
    """

    threads: int = 0
    runs: int = 0
    queued: int = 0
    items: int = 0
    versions: int = 0
    vectors: int = 0
    thread_ids: list[str] = field(default_factory=list)
    namespaces: list[Namespace] = field(default_factory=list)


async def erase(
    io: RunnerIO,
    saver: Checkpointer,
    store: TransactionalStore[Any],
    subject: str,
    keys: Collection[str],
    namespaces: Sequence[Namespace] | None,
    *,
    dry_run: bool,
    seen: Callable[[int], object] | None = None,
) -> Erased:
    """Remove what belongs to a subject.

    Args:
        io: the verbs.
        saver: where the threads are kept.
        store: where the memories are kept.
        subject: whose.
        keys: which entries of configs name a subject.
        namespaces: those to be removed with all below them; None: those that have the subject as a label.
        dry_run: whether to count only.
        seen: called with the number of thread_ids that were looked at.
    """
    erased, looked_at = Erased(), 0
    async for thread_id, runs, queue in _threads(io, saver):
        if owns_thread(subject, thread_id, _named(runs, queue), keys):
            erased.thread_ids.append(thread_id)
            erased.threads += 1
            erased.runs += len(runs)
            erased.queued += sum(place.owner is None for place in queue)
        looked_at += 1
        if seen is not None:
            seen(looked_at)
    if not dry_run:
        await _erase_threads(io, saver, store, subject, erased.thread_ids)
    if namespaces is None:
        every = await io.with_keeper(store, "read", lambda keeper, state: keeper.all_namespaces(state))
        namespaces = owned_prefixes(subject, every)
    for prefix in namespaces:
        _count(erased, prefix, await _erase_memories(io, store, prefix, dry_run=dry_run))
    return erased


async def _threads(io: RunnerIO, saver: Checkpointer) -> AsyncIterator[tuple[str, list[Run], list[Queued]]]:
    """Give each thread_id with the runs and the queues that it has, whatever the workflow."""
    name: str | None = None
    runs: list[Run] = []
    queue: list[Queued] = []
    async for thread in walk(io, saver):
        if name is not None and name != thread.thread_id:
            yield name, runs, queue
            runs, queue = [], []
        name = thread.thread_id
        more_runs = await io.keep(saver, ListRuns(thread))
        more_places = await io.keep(saver, ListQueue(thread))
        runs, queue = [*runs, *more_runs], [*queue, *more_places]
    if name is not None:
        yield name, runs, queue


async def _erase_threads(
    io: RunnerIO, saver: Checkpointer, store: TransactionalStore[Any], subject: str, thread_ids: list[str]
) -> None:
    for thread_id in thread_ids:
        # First of all: whoever runs there loses the right to write anything that belongs to the run.
        await io.keep(saver, DeleteThread(thread_id, time.time(), entirely=True))
    await io.keep(saver, ForgetDeleted(time.time()))  # nobody knows whose they were, and they have names
    names = [*thread_ids, subject]
    await io.with_keeper(store, "write", lambda keeper, state: keeper.forget_writers(state, names))


async def _erase_memories(
    io: RunnerIO, store: TransactionalStore[Any], prefix: Namespace, *, dry_run: bool
) -> Memories:
    how: How = "look_ahead" if dry_run else "write"
    return await io.with_keeper(store, how, lambda keeper, state: keeper.erase(state, prefix))


def _count(erased: Erased, prefix: Namespace, memories: Memories) -> None:
    erased.namespaces.append(prefix)
    erased.items += memories.items
    erased.versions += memories.versions
    erased.vectors += memories.vectors


def _named(runs: Sequence[Run], queue: Sequence[Queued]) -> list[dict[str, Any]]:
    """Return what is kept of the configs of runs and of calls that wait, `configurable` and `metadata` apart."""
    configs = [decode(run.metadata) for run in runs if run.metadata]
    configs += [kept_config(CallOptions.decode(place.config).config) for place in queue if place.config]
    return [entries for config in configs for entries in config.values()]
