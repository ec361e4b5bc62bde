"""The procedure by which a run is carried out that somebody else began, or that was submitted.

It looks at what a thread needs, makes the request that continues or begins its run, and leaves it to `run_workflow`.
Many may look at the same thread: the lease, and the newest run standing as it was seen, let exactly one go on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from clew.codec.values import decode
from clew.engine.events import Wanted
from clew.engine.identity import FAILURE
from clew.engine.pacing import Limit
from clew.engine.questions import Command
from clew.engine.records import Queued, Run, Status, ThreadKey, Work
from clew.errors import Conflict, InvalidResume, NoSuchThread, SetAside, Suspended, ThreadBusy
from clew.runner.dispatching import dispatcher_of
from clew.runner.io import RunnerIO
from clew.runner.keeping import failure_record
from clew.runner.leases import LEASE_S, is_dead, this_process
from clew.runner.logs import fields
from clew.runner.publishing import Publisher
from clew.runner.requests import Reins, Request
from clew.runner.settings import Settings
from clew.runner.streams import Emitter
from clew.runner.submitting import CallOptions, kept_options
from clew.runner.taking import told_before
from clew.runner.workflows import run_found
from clew.storage.base import Append, Begin, Checkpointer, End, Load
from clew.storage.queueing import LeaveQueue, ListQueue

log = logging.getLogger("clew.workers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What became of a run that was carried out.

    Args:
        thread_id: its thread.
        workflow: its workflow.
        run_id: the run.
        status: done, failed, interrupted or cancelled; "running" if it was handed over to another worker.
        error: why it failed or stopped, or None.
    """

    thread_id: str
    workflow: str
    run_id: str
    status: str
    error: str | None = None


class Known(Struct, frozen=True, kw_only=True):
    """A workflow that can be carried out here.

    Args:
        settings: as it was declared, with the checkpointer whose threads are looked at.
        make_context: makes what `runtime.context` is of what a submitter gave.
        listener: gives, for a run's config and the events that are wanted, what a Request's `listen` is.
        limit: that its runs are held to, or None.
    """

    settings: Settings
    make_context: Callable[[Any], Any]
    listener: Callable[[Mapping[str, Any], Wanted | None], Callable[[], AbstractContextManager[None]] | None]
    limit: Limit | None = None

    @property
    def saver(self) -> Checkpointer:
        """Where its threads are kept."""
        saver = self.settings.kept_by
        assert saver is not None
        return saver


class Terms(Struct, frozen=True, kw_only=True):
    """Under which terms runs are carried out.

    Args:
        max_crashes: after how many processes that died in a row a run is set aside.
        loop: runs the async tasks of blocking workflows, or None for the background loop.
    """

    max_crashes: int
    loop: asyncio.AbstractEventLoop | None = None


class _Job(Struct, frozen=True, kw_only=True):
    """What is to be run: a submitted call with its place, or what goes on with the newest run as it was seen."""

    request: Request
    place: Queued | None = None
    head: Run | None = None


async def carry_out(io: RunnerIO, known: Known, work: Work, terms: Terms, reins: Reins) -> Recovered | None:
    """Do what there is to do on a thread; return None if somebody else does, or nothing is left to do.

    What the run raises is kept on its thread, and not raised here.

    Raises:
        LimitReached: the workflow's limit does not let it begin now.
        StorageError: the database did not do it.
    """
    if work.owner is not None and not is_dead(work.owner):
        return None
    if work.why == "queued":
        job = await _submitted(io, known, work.thread)
    else:
        run = await io.keep(known.saver, Load(work.thread))
        if run is None or not _needs(run, work):
            return None
        if run.has_crashed and run.crashes + 1 >= terms.max_crashes:
            return await _set_aside(io, known.saver, work, run)
        job = await _continued(io, known, work.thread, run)
    if job is None:
        return None
    return await _run(io, known, work.thread, replace(job, request=replace(job.request, loop=terms.loop, reins=reins)))


def _needs(run: Run, work: Work) -> bool:
    """Say whether a run is still as it was when the work was found."""
    return run.status == "running" or (work.why == "due" and run.status == "interrupted")


async def _submitted(io: RunnerIO, known: Known, thread: ThreadKey) -> _Job | None:
    """Return the first submitted call of a queue, or None if there is none."""
    places = await io.keep(known.saver, ListQueue(thread, due_s=time.time()))
    if not places:
        return None
    place = places[0]
    return _Job(request=_request(known, CallOptions.decode(place.config), input=_input(place)), place=place)


def _input(place: Queued) -> Any:
    if place.act != "resume":
        return None  # a new run takes its input from the place, encoded as it is
    assert place.input is not None
    return Command(resume=decode(place.input))


async def _continued(io: RunnerIO, known: Known, thread: ThreadKey, run: Run) -> _Job:
    """Return what goes on with a run, with the config and the readers that it had."""
    options = await kept_options(io, known.saver, thread, run)
    return _Job(request=_request(known, options, input=None), head=run)


def _request(known: Known, options: CallOptions, *, input: Any) -> Request:
    request = Request(
        input=input, config=options.config, context=known.make_context(options.context), keeps_failure=True,
        follows=options.follows, listen=known.listener(options.config, options.wanted),
    )  # fmt: skip
    if options.wanted is None:
        return request
    publisher = Publisher()
    return replace(request, publisher=publisher, emitter=Emitter(publisher, options.wanted))


async def _run(io: RunnerIO, known: Known, thread: ThreadKey, job: _Job) -> Recovered | None:
    reins = job.request.reins
    try:
        await run_found(io, known.settings, job.request, place=job.place, head=job.head, limit=known.limit)
    except (Exception, Suspended) as error:
        if reins.run_id is None:
            await _not_begun(io, known.saver, job.place, error)
            return None
    finally:
        dispatcher_of(known.saver).announce(thread)
    if reins.run_id is None:  # there was only a kept value to return
        if job.place is not None:
            await io.keep(known.saver, LeaveQueue(job.place.id))
        return None
    run = await io.keep(known.saver, Load(thread, reins.run_id))
    return None if run is None else _reported(thread, run)


async def _not_begun(io: RunnerIO, saver: Checkpointer, place: Queued | None, error: BaseException) -> None:
    if isinstance(error, Conflict | ThreadBusy | Suspended):
        return  # somebody else was first, or this worker stops
    if place is None or not isinstance(error, InvalidResume | NoSuchThread):
        raise error
    if await io.keep(saver, LeaveQueue(place.id)):
        text = "a submitted call was dropped, for it makes no sense any more: %s"
        log.error(text, error, extra=fields(place.thread, place.id))


def _reported(thread: ThreadKey, run: Run) -> Recovered:
    return Recovered(
        thread_id=thread.thread_id, workflow=thread.workflow, run_id=run.id, status=run.status, error=run.error
    )


async def _set_aside(io: RunnerIO, saver: Checkpointer, work: Work, run: Run) -> Recovered | None:
    """Let a run be that kills its processes: it stays as failed, for somebody to look at and to continue by hand.

    One that was cancelled meanwhile stays as cancelled.
    """
    now_s, crashes = time.time(), run.crashes + 1
    error = SetAside(
        f"set aside: {crashes} processes in a row died while they ran it. Find out why, then go on with it by hand: "
        "invoke(None, config)"
    )
    taken = replace(run, crashes=crashes, attempts=run.attempts + 1)
    begin = Begin(
        thread=work.thread, run=taken, head=run, owner=this_process(), until_s=now_s + LEASE_S, now_s=now_s,
        evicts=() if work.owner is None else (work.owner,),
    )  # fmt: skip
    try:
        lease = await io.keep(saver, begin)
    except (Conflict, ThreadBusy):
        return None
    status: Status = "cancelled" if await told_before(io, saver, lease) == "cancel" else "failed"
    end = End(status=status, error=str(error), ended_s=now_s)
    await io.keep(saver, Append(lease=lease, records=[failure_record(error)], replaces=[FAILURE], end=end))
    dispatcher_of(saver).announce(work.thread)
    text = "run %s of workflow %r on thread %r is %s"
    log.error(text, run.id, work.thread.workflow, work.thread.thread_id, error, extra=fields(work.thread, run.id))
    return _reported(work.thread, replace(run, status=status, error=str(error)))
