"""Carries out runs that others began or submitted: once with `recover`, or for as long as a `Worker` runs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Generator, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from clew import configs
from clew.adopting import adopted
from clew.database import Database
from clew.engine.pacing import Limit
from clew.errors import InvalidOption, UsageError
from clew.listening import listener
from clew.runner.recovering import Known, Recovered, Terms
from clew.runner.working import WorkLoop, arecover_all, recover_all
from clew.storage.base import Checkpointer
from clew.store.base import BaseStore
from clew.store.sweeping import Sweeper
from clew.store.transactional import TransactionalStore
from clew.workflow import Workflow

AnyDatabase = Database | Checkpointer | str
MAX_CRASHES = 3


def recover(
    database: AnyDatabase, workflows: Iterable[Workflow[Any, Any]], *, max_crashes: int = MAX_CRASHES
) -> list[Recovered]:
    """Continue the runs that were left half-way, each exactly once however many look at the same time.

    These are the runs whose process died, those that a worker handed over when it stopped, and those that wait for an
    answer whose time is over.

    Args:
        database: whose runs: a Database, a checkpointer, or an address.
        workflows: whose runs; one without a checkpointer gets this one.
        max_crashes: a run whose process died so many times in a row is set aside: it fails with SetAside, and goes on
            only by hand, with `invoke(None, config)`.

    Returns:
        What became of each run that was continued here. How a run failed is in there, and kept on its thread.

    Raises:
        UsageError: workflows that cannot be told apart, or that keep their threads elsewhere.
        StorageError: the database did not do it.
    """
    with _opened(database) as (saver, store):
        return recover_all(saver, _known(workflows, saver, store), Terms(max_crashes=_checked(max_crashes)))


async def arecover(
    database: AnyDatabase, workflows: Iterable[Workflow[Any, Any]], *, max_crashes: int = MAX_CRASHES
) -> list[Recovered]:
    """Like `recover`, for async code."""
    with _opened(database) as (saver, store):
        terms = Terms(max_crashes=_checked(max_crashes))
        return await arecover_all(saver, _known(workflows, saver, store), terms)


class Worker:
    """Carries out the runs of some workflows, for as long as it runs.

    Runs whose process died go first, then questions whose time is over, then submitted calls: in order on each thread,
    and of several threads the one with the highest priority. Any number of workers may share a database. Meanwhile
    memories that have expired, and old versions whose time is over, are removed: at the start, and then as often as the
    store's `ttl` says.

    Args:
        database: whose runs: a Database, a checkpointer, or an address.
        workflows: whose runs; one without a checkpointer gets this one.
        concurrency: how many runs side by side.
        poll_s: how often to look for work that was submitted in other processes, in seconds. That of this process is
            heard of at once.
        max_crashes: see `recover`.
        limits: limits of single workflows, by name. They hold for all workers on the database together, so give the
            same ones to each.

    Raises:
        UsageError: workflows that cannot be told apart, or that keep their threads elsewhere; an option out of range.
    """

    def __init__(
        self,
        database: AnyDatabase,
        workflows: Iterable[Workflow[Any, Any]],
        *,
        concurrency: int = 8,
        poll_s: float = 0.25,
        max_crashes: int = MAX_CRASHES,
        limits: Mapping[str, Limit] | None = None,
    ) -> None:
        if concurrency < 1 or not poll_s > 0:
            raise InvalidOption(f"concurrency is at least 1 and poll_s above 0, not {concurrency!r} and {poll_s!r}")
        self._stack = contextlib.ExitStack()
        saver, store = self._stack.enter_context(_opened(database))
        known = _known(workflows, saver, store, limits or {})
        self._sweeping = _swept([store, *(one.settings.store for one in known.values())])
        if unknown := set(limits or ()) - set(known):
            raise InvalidOption(f"there are limits for {sorted(unknown)}, which this worker does not know")
        self._was_run = False
        self._work = WorkLoop(saver, known, concurrency=concurrency, poll_s=poll_s, max_crashes=_checked(max_crashes))

    def run(self) -> None:
        """Work until `stop` is called. Runs of async workflows are on a loop in the background.

        Raises:
            UsageError: it has run before.
        """
        self._begin()
        with self._stack, self._sweeping:
            self._work.run_until_stopped()

    async def arun(self) -> None:
        """Work until `stop` is called or this is cancelled. Runs of async workflows are on the running loop.

        Raises:
            UsageError: it has run before.
        """
        self._begin()
        with self._stack, self._sweeping:
            await self._work.arun_until_stopped()

    def stop(self) -> None:
        """Begin nothing more, let running tasks finish, and hand over each run at its next call.

        Returns at once; `run` returns once all that is done. May be called from any OS thread, and by a signal's
        handler.
        """
        self._work.stop()

    def _begin(self) -> None:
        if self._was_run:
            raise UsageError("this worker runs, or has run; make a new Worker")
        self._was_run = True


@contextlib.contextmanager
def _opened(database: AnyDatabase) -> Generator[tuple[Checkpointer, BaseStore | None]]:
    """Give a checkpointer and, where the database is more than that, its store; close what is opened here."""
    if isinstance(database, Checkpointer):
        yield database, None
    elif isinstance(database, Database):
        yield database.checkpointer, database.store
    elif isinstance(database, str):
        with Database(database) as opened:
            yield opened.checkpointer, opened.store
    else:
        raise UsageError(f"pass a Database, a checkpointer or an address such as sqlite:///app.db, not {database!r}")


@contextlib.contextmanager
def _swept(stores: Iterable[BaseStore | None]) -> Generator[None]:
    """Keep stores of our own tidy for the length of a block."""
    own = [store for store in dict.fromkeys(stores) if isinstance(store, TransactionalStore)]
    sweepers = [Sweeper(store.sweep_ttl, store.expiry.sweep_every_s, at_once=True) for store in own]
    for sweeper in sweepers:
        sweeper.start()
    try:
        yield
    finally:
        for sweeper in sweepers:
            sweeper.stop()


def _known(
    workflows: Iterable[Workflow[Any, Any]],
    saver: Checkpointer,
    store: BaseStore | None,
    limits: Mapping[str, Limit] = MappingProxyType({}),
) -> dict[str, Known]:
    known: dict[str, Known] = {}
    for workflow in [workflows] if isinstance(workflows, Workflow) else workflows:
        if not isinstance(workflow, Workflow):
            raise UsageError(f"pass workflows, which are functions marked @entrypoint, not {workflow!r}")
        if workflow.name in known:
            raise UsageError(f"two workflows are called {workflow.name!r}; give one a name: @entrypoint(name=...)")
        known[workflow.name] = _known_one(adopted(workflow, saver, store), limits.get(workflow.name))
    return known


def _known_one(workflow: Workflow[Any, Any], limit: Limit | None) -> Known:
    make_context = functools.partial(configs.context_for, workflow._context_schema)
    return Known(settings=workflow._settings, make_context=make_context, listener=listener, limit=limit)


def _checked(max_crashes: int) -> int:
    if max_crashes < 1:
        raise InvalidOption(f"max_crashes is at least 1, not {max_crashes!r}")
    return max_crashes
