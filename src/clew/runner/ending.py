"""The procedures by which it is kept how a run ended: with a value, at questions, because somebody asked, or failed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from clew.engine.final import final
from clew.engine.questions import Question
from clew.engine.records import Record
from clew.errors import Conflict, NotRecordable, RunCancelled, RunStopped, Unavailable
from clew.runner import asking, saved, taking
from clew.runner.execution import Execution, Result
from clew.runner.frame import Call, Frame
from clew.runner.io import RunnerIO
from clew.runner.keeping import failure_record, keep
from clew.runner.leases import keeper
from clew.runner.showing import show_end
from clew.storage.base import Asked, End


async def finish(io: RunnerIO, execution: Execution, call: Call, value: Any, frame: Frame) -> Result:
    """Keep what a run returned, and show it."""
    returned = value.value if isinstance(value, final) else value
    if execution.journal is not None and execution.saver is not None:
        execution.journal.check_finished()
    if execution.saver is not None:
        left = _left(call, value)
        error = "; ".join(execution.unheard) or None
        end = End(status="done", value=left.value, saved=left.saved, error=error, ended_s=time.time())
        await keep(io, execution, pieces=left.pieces, end=end)
        left.is_kept(execution.saver)
    if execution.emitter is not None:
        if frame.is_cached:
            execution.emitter.finished(call, returned, cached=True)
        else:
            execution.emitter.returned(call, returned)
            execution.emitter.value(returned)
        if execution.lease is not None:
            await show_end(io, execution, execution.lease.thread)
    return Result(value=returned)


def _left(call: Call, value: Any) -> saved.Left:
    try:
        return saved.left(value, call.scope.grows_from)
    except NotRecordable as error:
        raise NotRecordable(f"{call.callee.name!r} returned what cannot be recorded: {error}") from error


async def suspend(io: RunnerIO, execution: Execution, call: Call) -> Result:
    """Keep that a run ended half-way, and return the questions that wait.

    Raises:
        RunStopped: somebody had asked it to stop.
    """
    questions, told = execution.asked, execution.told
    interrupts = tuple(question.interrupt for question in questions)
    if execution.saver is not None:
        await _keep(io, execution, _end(execution, questions, told))
    if execution.emitter is not None and not execution.is_handed_over:  # else whoever takes it up goes on showing
        if told is None:
            execution.emitter.interrupted(interrupts)
        execution.emitter.suspended(call, interrupts)
    if told is not None:
        raise _stop_error(execution, told)
    return Result(interrupts=interrupts, interrupted=True)


async def _keep(io: RunnerIO, execution: Execution, end: End, records: Sequence[Record] = ()) -> None:
    """Keep how a run ended; where it cannot be kept now, whoever wants the thread next in this process tries again."""
    try:
        await keep(io, execution, records, end=end)
    except BaseException as error:
        if execution.saver is not None and execution.lease is not None and not isinstance(error, Conflict):
            keeper.leave_unended(execution.saver, execution.lease, end)
        raise


def _stop_error(execution: Execution, told: Asked) -> RunStopped:
    run = f"run {execution.run_id}"
    if execution.lease is not None:
        run += " on thread {!r} of workflow {!r}".format(*execution.lease.thread)
    if told == "cancel":
        return RunCancelled(f"{run} was cancelled; invoke(None, config) goes on with it", execution.run_id)
    if told == "rollback":
        message = f"{run} was rolled back by a newer input: it is removed, with what its tasks returned"
    else:
        message = (
            f"{run} was stopped by a newer input, and is kept as interrupted: invoke(None, config) goes on with it "
            f"while it is the newest run, and begins it anew with checkpoint_id={execution.checkpoint_id!r}"
        )
    return RunStopped(message, execution.run_id, told)


def _end(execution: Execution, questions: Sequence[Question], told: Asked | None) -> End:
    now_s = time.time()
    if told == "rollback":
        return End(status="interrupted", removes=True, ended_s=now_s)
    if told == "cancel":
        return End(status="cancelled", error=execution.stopped, ended_s=now_s)
    if execution.is_handed_over:
        return End(status="running", ended_s=now_s, due_s=now_s)
    deadlines = [question.deadline_s for question in questions if question.deadline_s is not None]
    return End(
        status="interrupted", questions=asking.encode_questions(questions), error=execution.stopped, ended_s=now_s,
        due_s=min(deadlines, default=None),
    )  # fmt: skip


async def fail(io: RunnerIO, execution: Execution, call: Call, error: BaseException) -> None:
    """Keep that a run failed; one of a worker that the database failed goes on later."""
    if execution.emitter is not None:
        execution.emitter.failed(call, error)
    if execution.saver is None or execution.has_ended:
        return
    await io.wait(execution.flushing)  # only then is it known which failures are kept
    reopened = execution.reopen(error)
    end, records = taking.failed(error, reopened), [failure_record(error)] if execution.keeps_failure else []
    if execution.keeps_failure and isinstance(error, Unavailable):
        end, records = taking.left_for_later(reopened), []
    try:
        await _keep(io, execution, end, records)
    except Conflict:
        if not isinstance(error, Conflict):
            raise
        # The thread was taken over: whoever has it now says how the run ends.
