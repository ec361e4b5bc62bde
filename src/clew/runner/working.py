"""Looks for work and has it carried out, many runs side by side, until it is told to stop.

It knows when to look, what goes first, and how many runs may be under way. What a run needs, and who may go on with
it, is decided elsewhere: a worker that looks at the wrong moment, or twice, does no harm.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import partial

from msgspec.structs import replace

from clew.engine.records import ThreadKey, Work
from clew.errors import LimitReached, StorageError, UnreadableRecord
from clew.runner import launching, pools
from clew.runner.async_io import ON_LOOP
from clew.runner.dispatching import dispatcher_of
from clew.runner.io import run_blocking
from clew.runner.leases import is_dead, this_machine
from clew.runner.limiting import Allowance
from clew.runner.logs import fields
from clew.runner.recovering import Known, Recovered, Terms, carry_out
from clew.runner.requests import Reins
from clew.runner.sync_io import BLOCKING
from clew.storage.base import Checkpointer, LoadUse
from clew.storage.queueing import FindWork

log = logging.getLogger("clew.workers")

_PAGE = 100
_MOST_LOOKED_AT = 100_000
_FIRST = {"crashed": 0, "due": 1, "queued": 2}
_MOST_SPREAD = 64


class WorkLoop:
    """Carries out the work on one database.

    Args:
        saver: the database.
        known: the workflows, by name.
        concurrency: how many runs side by side.
        poll_s: how often to look for work of which no news comes, in seconds.
        max_crashes: see Terms.
    """

    def __init__(
        self,
        saver: Checkpointer,
        known: Mapping[str, Known],
        *,
        concurrency: int,
        poll_s: float,
        max_crashes: int,
    ) -> None:
        self._saver = saver
        self._known = known
        self._concurrency = concurrency
        self._poll_s = poll_s
        self._terms = Terms(max_crashes=max_crashes)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._allowance = Allowance({name: each.limit for name, each in known.items()})
        self._under_way: dict[ThreadKey, Reins] = {}
        self._futures: set[Future[Recovered | None]] = set()
        self._complained: dict[ThreadKey, str] = {}
        self._spread = 0  # by how many places work is moved, so that workers that look at once try different ones
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()  # may be rung by a signal's handler
        self._has_room = threading.Event()
        self._stops = False

    def stop(self) -> None:
        """Begin nothing more, and hand over each run at its next call. May be called by a signal's handler."""
        self._stops = True
        for reins in list(self._under_way.values()):
            reins.hand_over("its worker stopped")
        self._bell.put(None)

    def run_until_stopped(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Look for work and have it carried out.

        Args:
            loop: runs what is async, or None for the background loop.
        """
        self._loop = loop or pools.background_loop()
        self._terms = replace(self._terms, loop=self._loop)
        dispatcher = dispatcher_of(self._saver)
        ear = dispatcher.listen()
        ear.wake = lambda: self._bell.put(None)
        ear.when_closed(dispatcher.attend(list(self._known), self._woken))
        try:
            with ThreadPoolExecutor(self._concurrency, thread_name_prefix="clew-worker") as threads:
                while not self._stops:
                    self._begin_what_there_is(threads)
                    if len(self._under_way) < self._concurrency:
                        self._has_room.set()
                    self._wait_for_news()
                self.stop()  # also what has begun since
                wait(list(self._futures))
        finally:
            self._has_room.set()
            ear.close()

    def _woken(self) -> None:
        """Look for work, and return once there is room for more: until then wake-ups are for other workers."""
        self._has_room.clear()
        self._allowance.try_again()
        self._bell.put(None)
        if not self._stops:
            self._has_room.wait()

    def _wait_for_news(self) -> None:
        pause_s = self._poll_s
        if len(self._under_way) < self._concurrency:
            pause_s = min(pause_s, self._allowance.again_s() - time.time())
        try:
            self._bell.get(timeout=max(0.0, pause_s))
            while True:
                self._bell.get_nowait()
        except queue.Empty:
            pass

    def _begin_what_there_is(self, threads: ThreadPoolExecutor) -> None:
        limit = _PAGE
        while len(self._under_way) < self._concurrency and not self._stops:
            room, found = self._look(limit)
            for work in self._in_order(found):
                workflow = work.thread.workflow
                if len(self._under_way) < self._concurrency and room[workflow] > 0:
                    room[workflow] -= 1
                    self._begin(work, threads)
            if len(found) < limit or limit >= _MOST_LOOKED_AT:
                return
            limit *= 10  # all that was found may be in other hands

    def _look(self, limit: int) -> tuple[dict[str, float], Sequence[Work]]:
        """Return how many runs of each workflow may begin now, and what there is to do."""
        now_s, limits = time.time(), self._allowance.limits
        self._allowance.forget_past(now_s)
        under_way = Counter(thread.workflow for thread in list(self._under_way))
        try:
            use = self._saver.execute(LoadUse(limits, now_s)) if limits else {}
            room = self._allowance.room(use, under_way)
            workflows = [name for name, free in room.items() if free > 0]
            find = FindWork(workflows=workflows, now_s=now_s, machine=f"{this_machine()}/", limit=limit)
            return room, self._saver.execute(find) if workflows else ()
        except StorageError as error:
            log.warning("could not look for work: %s", error)
            return {}, ()

    def _in_order(self, found: Sequence[Work]) -> list[Work]:
        """Return what nobody is at, as far as is known here: what crashed first, then questions whose time is over.

        Of equals those that wait longest come first, but the more often other workers were quicker, the less strictly.
        Last comes what could not be carried out before, so that it takes nobody's place.
        """
        living = {owner for owner in {work.owner for work in found} if owner is not None and not is_dead(owner)}
        free = [work for work in found if work.owner not in living and work.thread not in self._under_way]
        moved = {work.thread: place + random.random() * self._spread for place, work in enumerate(free)}
        return sorted(
            free,
            key=lambda work: (
                work.thread in self._complained, _FIRST[work.why], -work.priority, moved[work.thread]
            ),
        )  # fmt: skip

    def _begin(self, work: Work, threads: ThreadPoolExecutor) -> None:
        known, reins = self._known[work.thread.workflow], Reins()
        self._under_way[work.thread] = reins
        if known.settings.callee.is_async:
            assert self._loop is not None
            procedure = carry_out(ON_LOOP, known, work, self._terms, reins)
            ended = asyncio.run_coroutine_threadsafe(procedure, self._loop)
        else:
            ended = threads.submit(copy_context().run, _blocking, known, work, self._terms, reins)
        self._futures.add(ended)
        ended.add_done_callback(partial(self._ended, work.thread))

    def _ended(self, thread: ThreadKey, ended: Future[Recovered | None]) -> None:
        del self._under_way[thread]
        self._futures.discard(ended)
        self._has_room.set()
        error = None if ended.cancelled() else ended.exception()
        if isinstance(error, LimitReached):
            self._allowance.refused(thread.workflow, error, time.time() + self._poll_s)
            self._bell.put(None)  # for other workflows there may be room
            return
        self._allowance.try_again(thread.workflow)
        if error is None:
            self._complained.pop(thread, None)
            if not ended.cancelled() and ended.result() is not None:
                self._spread = max(self._spread - 1, 0)
                self._bell.put(None)  # there may be more to do, there or elsewhere
            else:
                self._spread = min(self._spread + 8, _MOST_SPREAD)
        elif self._complained.get(thread) != str(error):  # it is tried again and again: said once is enough
            self._complained[thread] = str(error)
            _complain(thread, error)

    async def arun_until_stopped(self) -> None:
        """Like `run_until_stopped`, with what is async on the running loop. A cancellation stops it."""
        running = asyncio.ensure_future(asyncio.to_thread(self.run_until_stopped, asyncio.get_running_loop()))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            self.stop()
            await running
            raise


def recover_all(saver: Checkpointer, known: Mapping[str, Known], terms: Terms) -> list[Recovered]:
    """Carry out what was left half-way, side by side, and return what became of it."""
    calls = [
        partial(_attempted, known[work.thread.workflow], work, terms) for work in _left(saver.execute(_all(known)))
    ]
    return [done for done in launching.side_by_side(calls) if done is not None]


async def arecover_all(saver: Checkpointer, known: Mapping[str, Known], terms: Terms) -> list[Recovered]:
    """Like `recover_all`, for async code."""
    found = _left(await saver.aexecute(_all(known)))
    calls = [_aattempted(known[work.thread.workflow], work, terms) for work in found]
    return [done for done in await launching.aside_by_side(calls) if done is not None]


def _all(known: Mapping[str, Known]) -> FindWork:
    return FindWork(workflows=list(known), now_s=time.time(), machine=f"{this_machine()}/", limit=_MOST_LOOKED_AT)


def _left(found: Sequence[Work]) -> list[Work]:
    return [work for work in found if work.why != "queued"]


def _attempted(known: Known, work: Work, terms: Terms) -> Recovered | None:
    """Carry out work, but let nothing that is wrong with it stop that of others."""
    try:
        return _blocking(known, work, terms)
    except UnreadableRecord as error:
        _complain(work.thread, error)
        return None


async def _aattempted(known: Known, work: Work, terms: Terms) -> Recovered | None:
    """Like `_attempted`, for async code."""
    try:
        return await _on_loop(known, work, terms)
    except UnreadableRecord as error:
        _complain(work.thread, error)
        return None


def _complain(thread: ThreadKey, error: BaseException) -> None:
    text = "thread %r of workflow %r: %s"
    log.error(text, thread.thread_id, thread.workflow, error, exc_info=error, extra=fields(thread))


def _blocking(known: Known, work: Work, terms: Terms, reins: Reins | None = None) -> Recovered | None:
    """Carry out work for blocking code."""
    reins = reins or Reins()
    if known.settings.callee.is_async:
        return asyncio.run(carry_out(ON_LOOP, known, work, terms, reins))
    return run_blocking(carry_out(BLOCKING, known, work, terms, reins))


async def _on_loop(known: Known, work: Work, terms: Terms) -> Recovered | None:
    """Carry out work for async code."""
    if known.settings.callee.is_async:
        return await carry_out(ON_LOOP, known, work, terms, Reins())
    terms = replace(terms, loop=asyncio.get_running_loop())
    context = copy_context()
    return await asyncio.get_running_loop().run_in_executor(
        pools.workflows(), lambda: context.run(_blocking, known, work, terms)
    )
