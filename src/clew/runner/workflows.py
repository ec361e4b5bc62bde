"""The procedure of a whole run: plan it, take the thread, execute it, keep how it ended."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from clew.codec.values import decode
from clew.engine.activities import WatchedRun
from clew.engine.final import final
from clew.engine.journal import Journal
from clew.engine.pacing import Limit
from clew.engine.questions import Command
from clew.engine.records import Queued, Run, ThreadKey
from clew.errors import InvalidOption, InvalidResume, NotInWorkflow, Suspended
from clew.late import late
from clew.runner import asking, ending, saved, taking
from clew.runner.execution import Execution, Result
from clew.runner.frame import Call, Frame, Scope
from clew.runner.io import RunnerIO
from clew.runner.leases import keeper
from clew.runner.logs import logged
from clew.runner.loops import cancellations
from clew.runner.procedures import Settle, produce
from clew.runner.requests import Request, thread_of
from clew.runner.saved import Saved
from clew.runner.settings import Settings
from clew.runner.showing import show_input
from clew.runner.streams import Emitter
from clew.runner.taking import Taken
from clew.runner.turns import turns
from clew.runner.waiting import Waiting
from clew.runner.watching import watched
from clew.storage.base import Checkpointer, Lease

if TYPE_CHECKING:
    from clew.runner import memory
else:
    late(globals(), "clew.runner.memory")


async def run_workflow(io: RunnerIO, settings: Settings, request: Request) -> Result:
    """Run a workflow from a call of it to its end.

    Raises:
        ValueError: a checkpointer and no thread_id; or nothing to continue.
        InvalidResume: an answer that nothing waits for.
        ThreadBusy: other runs came first, and were not to be waited for, or for too long.
        RunStopped: it was stopped because somebody asked.
        StorageError: what has to be kept could not be.
        Whatever the workflow raises.
    """
    with request.listening(), watched(_activity(settings, request)) as seen:
        saver = settings.kept_by
        if saver is None:
            return await _run_alone(io, settings, request, seen)
        return await _run_in_turn(io, settings, request, saver, seen)


async def _run_alone(io: RunnerIO, settings: Settings, request: Request, seen: WatchedRun) -> Result:
    """Run a workflow of which nothing is kept."""
    if isinstance(request.input, Command):
        raise InvalidResume("Command(resume=...) needs a checkpointer: without one nothing is kept to be resumed")
    if request.run_key is not None:
        raise InvalidOption("run_key needs a checkpointer: without one nothing is kept to be found again")
    if settings.saver:
        raise NotInWorkflow(
            f"workflow {settings.callee.name!r} has checkpointer=True, which means that of the workflow that calls "
            "it; call it inside one, or give it a checkpointer of its own"
        )
    seen.run_id = os.urandom(16).hex()  # as good as a UUID, and cheaper
    execution = _execution(settings, request, run_id=seen.run_id)
    return _told(seen, await _execute(io, settings, request, execution, request.input, saved.NOTHING))


async def _run_in_turn(
    io: RunnerIO, settings: Settings, request: Request, saver: Checkpointer, seen: WatchedRun
) -> Result:
    """Run a workflow once its turn on the thread has come."""
    thread = thread_of(settings, request.config)
    waiting = _waiting(settings, request, saver, thread)
    turn = turns.turn(
        saver.database.identity, thread, request.reins, goes_on=waiting.goes_on, wants=waiting.wants,
        run_id=waiting.run_id,
    )  # fmt: skip
    try:
        turn.join()
        try:
            await waiting.for_turn(io, turn)
            request.reins.check()
            taken = await taking.take(io, saver, thread, request.input, request.config, waiting, leaves=seen.leaves)
        finally:
            await waiting.leave(io)
        return await _run_taken(io, settings, request, saver, taken, seen)
    finally:
        try:
            turn.leave()
        except BaseException:  # Ctrl-C, before it was done
            turn.leave()
            raise


def _activity(settings: Settings, request: Request) -> WatchedRun:
    thread_id = (request.config.get("configurable") or {}).get("thread_id") if settings.kept_by else None
    return WatchedRun(
        workflow=settings.callee.name, thread_id=None if thread_id is None else str(thread_id), input=request.input,
        follows=[request.follows] if request.follows else [],
    )  # fmt: skip


def _told(seen: WatchedRun, result: Result) -> Result:
    """Tell whoever watches what a run came to."""
    seen.value, seen.interrupts, seen.has_stopped = result.value, result.interrupts, result.interrupted
    return result


def _waiting(settings: Settings, request: Request, saver: Checkpointer, thread: ThreadKey) -> Waiting:
    is_input = request.input is not None and not isinstance(request.input, Command)
    if request.run_key is not None and not is_input:
        raise InvalidOption("run_key names a run that begins with an input; continue and answer it by its thread")
    return Waiting(
        saver, thread, wait_s=settings.wait_s, on_conflict=request.on_conflict or settings.on_conflict,
        goes_on=not is_input, run_key=request.run_key,
    )  # fmt: skip


async def run_found(
    io: RunnerIO, settings: Settings, request: Request, *, place: Queued | None, head: Run | None, limit: Limit | None
) -> Result:
    """Run what a worker found to do on a thread. It waits for nobody, not even for callers of this process.

    Args:
        io: the verbs.
        settings: the workflow; it has a checkpointer.
        request: what continues the thread, or what was submitted.
        place: of a submitted call, or None.
        head: what the newest run of the thread must be, or None.
        limit: that runs of the workflow are held to, or None.

    Raises:
        LimitReached: the limit does not let it begin now.
        ThreadBusy, Conflict: somebody else was first.
        What `run_workflow` raises.
    """
    saver = settings.kept_by
    assert saver is not None
    thread = thread_of(settings, request.config)
    waiting = Waiting(saver, thread, wait_s=0.0, served=None if place is None else place.id, limit=limit)
    request.reins.check()
    with request.listening(), watched(_activity(settings, request)) as seen:
        taken = await taking.take(
            io, saver, thread, request.input, request.config, waiting, queued=place, head=head, leaves=seen.leaves
        )
        return await _run_taken(io, settings, request, saver, taken, seen)


async def _run_taken(
    io: RunnerIO, settings: Settings, request: Request, saver: Checkpointer, taken: Taken, seen: WatchedRun
) -> Result:
    run = taken.plan.run
    seen.run_id, seen.executions = run.id, run.attempts
    seen.follows += taken.left
    if taken.lease is None:
        return _told(seen, await _returned(io, saver, request, run))
    thread = taken.lease.thread
    where = f"workflow {thread.workflow!r} on thread {thread.thread_id!r}"
    execution = _execution(
        settings, request, run_id=run.id, saver=saver, lease=taken.lease, run=run,
        journal=Journal(taken.records, settings.on_mismatch, where),
    )  # fmt: skip
    execution.deadlines = {asked.key: asked.deadline_s for asked in taken.asked}
    if taken.told is not None:
        execution.tell(taken.told)
    try:
        keeper.hold(saver, taken.lease, execution.tell)
        if request.publisher is not None:
            request.publisher.open(saver, taken.lease)
        with logged(thread, run, seen, is_unattended=request.keeps_failure):
            input = await _shown_input(io, execution, saver, taken.lease, run)
            return _told(seen, await _execute(io, settings, request, execution, input, taken.previous))
    finally:
        try:
            keeper.let_go(taken.lease)
        except BaseException:  # Ctrl-C, before it was done
            keeper.let_go(taken.lease)
            raise
        if request.publisher is not None and not execution.is_handed_over:
            await request.publisher.close(io)


async def _shown_input(io: RunnerIO, execution: Execution, saver: Checkpointer, lease: Lease, run: Run) -> Any:
    """Tell the stream that the input is kept, and return the input."""
    try:
        await show_input(io, execution, lease.thread)
        assert run.input is not None
        return decode(run.input)
    except BaseException as error:
        await taking.give_back(io, saver, lease, error)
        raise


async def _returned(io: RunnerIO, saver: Checkpointer, request: Request, run: Run) -> Result:
    """Return what a run came to that is not run again."""
    if run.status != "done":
        interrupts = tuple(question.interrupt for question in asking.questions_of(run))
        if request.emitter is not None:
            request.emitter.interrupted(interrupts)
        return Result(interrupts=interrupts, interrupted=True)
    value = (await saved.read(io, saver, run.value)).value
    if request.emitter is not None:
        request.emitter.value(value)
    return Result(value=value)


def _execution(settings: Settings, request: Request, **kept: Any) -> Execution:
    if "journal" not in kept and settings.callee.retry:
        # Nothing is kept, and yet a repeated attempt of the workflow is not to run finished calls again.
        kept["journal"] = Journal((), "rerun", f"workflow {settings.callee.name!r}")
    execution = Execution(
        cache=settings.cache, emitter=request.emitter, durability=request.durability,
        most=request.config.get("max_concurrency"), loop=request.loop, publisher=request.publisher,
        keeps_failure=request.keeps_failure, **kept,
    )  # fmt: skip
    request.reins.hold(execution)
    return execution


async def _execute(
    io: RunnerIO, settings: Settings, request: Request, execution: Execution, input: Any, previous: Saved
) -> Result:
    scope = Scope(
        workflow=settings.callee.name, context=request.context,
        config={"configurable": {}, "metadata": {}, **request.config},  # both are always there to read from
        store=memory.RunStore(settings.store) if settings.store is not None else None, previous=previous,
    )  # fmt: skip
    call = Call(execution, settings.callee, "", (input,), {}, None, scope)
    emitter = execution.emitter
    if emitter is not None:
        emitter.started(call)
    value: Any = None
    frame: Frame | None = None
    result: Result | None = None
    try:
        execution.check_stopped()  # what was told to stop before it began does nothing
        value, frame = await _produce(io, call, None if emitter is None else _Update(call, emitter))
        if not execution.questions:
            result = await ending.finish(io, execution, call, value, frame)
    except BaseException as error:
        if isinstance(error, Exception) or not _stopped(execution, error):
            await ending.fail(io, execution, call, error)
            raise
    if result is None:
        return await ending.suspend(io, execution, call)
    if frame is not None and frame.entry is not None:
        await frame.entry.keep(io, value)
    return result


async def _produce(io: RunnerIO, call: Call, settle: Settle | None) -> tuple[Any, Frame]:
    """Run the body, so that it can be cancelled from elsewhere."""
    execution = call.execution
    execution.canceller = canceller = io.canceller() if execution.saver is not None else None
    if canceller is None:
        return await produce(io, call, time.time(), settle)
    try:
        return await produce(io, call, time.time(), settle)
    except cancellations():
        if canceller.disarm():
            execution.check_stopped()
        raise
    finally:
        canceller.disarm()


class _Update:
    """Shows what a body returned, once, unless it only waits for answers."""

    def __init__(self, call: Call, emitter: Emitter) -> None:
        self._call = call
        self._emitter = emitter
        self._is_shown = False

    def __call__(self, value: Any) -> None:
        if not self._is_shown and not self._call.execution.questions:
            self._is_shown = True
            self._emitter.updated(self._call, value.value if isinstance(value, final) else value)


def _stopped(execution: Execution, error: BaseException) -> bool:
    """Say whether a body ended because of a question or of a stop, however the error was wrapped on its way."""
    is_over = bool(execution.questions) or execution.told is not None
    return isinstance(error, Suspended) or (is_over and isinstance(error, BaseExceptionGroup))
