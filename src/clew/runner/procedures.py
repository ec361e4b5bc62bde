"""What happens when a call is made: written once, for blocking and for async code.

A procedure is a coroutine that awaits only the verbs of its IO. It runs in the colour of the function that it calls:
a blocking task made by async code runs with SyncIO on a pool's OS thread, an async task made by blocking code with
AsyncIO on a loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Container, Coroutine, Mapping
from functools import partial
from typing import Any

from clew.codec.failures import decode_failure, encode_failure
from clew.codec.fingerprint import describe, fingerprint
from clew.codec.values import decode, encode
from clew.engine.failures import is_outcome, lineage
from clew.engine.final import final
from clew.engine.identity import INTERRUPT, SLEEP, question_id
from clew.engine.journal import Journal
from clew.engine.questions import Asked, Question
from clew.engine.records import Record
from clew.engine.retry import Retries
from clew.errors import NotRecordable, Suspended, UnreadableRecord
from clew.runner import watching
from clew.runner.caching import Entry, entry_for
from clew.runner.execution import Execution
from clew.runner.frame import Call, Frame
from clew.runner.io import RunnerIO
from clew.runner.keeping import keep, record_of
from clew.runner.nesting import left_by, remember
from clew.runner.watching import CarryOut

log = logging.getLogger("clew.tasks")

_NAP_S = 1.0  # how long a pause goes on after the run was asked to stop

Settle = Callable[[Any], None]
Commit = Callable[[Any, Frame], Awaitable[None]]


def recalled(
    execution: Execution, journal: Journal, key: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any] | None:
    """Return the recorded value of a call as it is made, or None where `run_call` has more to do than to read it."""
    record = journal.recall(key, fingerprint(args, kwargs))
    if record is None:
        return None
    try:
        # As Execution.value_of does, without a call of its own for each recorded task.
        return (execution.values[key] if execution.saver is None else decode(record.outcome),)
    except UnreadableRecord:
        return None  # whoever asks for the result is told


def show_replayed(call: Call, value: Any) -> None:
    """Show a call that was answered from its record, if somebody watches."""
    emitter = call.execution.emitter
    if emitter is not None:
        emitter.started(call)
        emitter.finished(call, value, replayed=True)


async def run_call(io: RunnerIO, call: Call) -> Any:
    """Run one call of a task or nested workflow, or give what was recorded of it.

    Raises:
        ReplayMismatch: it was recorded with other arguments.
        NotRecordable: it returned what cannot be read back.
        StorageError: its outcome could not be kept.
        Whatever the function raises.
    """
    execution = call.execution
    if execution.stopped is not None:
        execution.check_stopped()
    digest, journal = b"", execution.journal
    if journal is not None:
        digest = fingerprint(call.args, call.kwargs)
        if call.key in journal.records or journal.mismatch is not None:
            shown = partial(describe, call.args, call.kwargs)
            if record := journal.find(call.key, digest, shown):
                return _replayed(call, record)
        if execution.stopped is not None or execution.only_replays:
            execution.check_new(call.key)
    if execution.emitter is not None:
        execution.emitter.started(call)
    started_s = time.time()
    turn = None
    try:
        if call.scope.remembers_on is not None:
            turn = await remember(io, call)
        commit = partial(_commit, io, call, digest, started_s)
        carry_out: CarryOut = produce if call.callee.cache else run_attempts
        if watching.observer is not None:
            carry_out = partial(watching.watched_call, carry_out)
        value, frame = await carry_out(io, call, started_s, commit=commit)
        returned = value.value if type(value) is final else value
        if frame.entry is not None:
            await frame.entry.keep(io, value)
    except Suspended:
        if execution.emitter is not None:
            execution.emitter.suspended(call, _asked_below(call))
        raise
    except BaseException as error:
        if execution.journal is not None and is_outcome(error) and not _asks_below(call):
            execution.note_failure(call.key, error, _failure(call, digest, error, started_s))
        if execution.emitter is not None:
            execution.emitter.failed(call, error)
        raise
    finally:
        if turn is not None:
            turn.leave()
    if execution.emitter is not None:
        execution.emitter.finished(call, returned, cached=frame.is_cached)
    return returned


async def _commit(io: RunnerIO, call: Call, digest: bytes, started_s: float, value: Any, frame: Frame) -> None:
    """Keep what an attempt came to, together with the memories that it wrote."""
    execution = call.execution
    if execution.questions and _asks_below(call):
        raise Suspended("a question was asked below, and the code caught it")
    writes, frame.writes = tuple(frame.writes or ()), None
    if execution.journal is not None:
        returned = value.value if type(value) is final else value
        if execution.saver is None:
            execution.values[call.key] = returned
        try:
            outcome = b"" if execution.saver is None else encode(returned)
        except NotRecordable as error:
            raise NotRecordable(f"{call.callee.name!r} returned what cannot be recorded: {error}") from error
        record = Record(
            key=call.key, name=call.callee.name, fingerprint=digest, arguments=describe(call.args, call.kwargs),
            state="value", outcome=outcome, attempts=frame.attempt, started_s=started_s, ended_s=time.time(),
        )  # fmt: skip
        also = left_by(call, value) if call.scope.remembers_on is not None else ()
        await keep(io, execution, [record], writes, also=also)
    else:
        await keep(io, execution, (), writes)


def produce(
    io: RunnerIO, call: Call, first_s: float, settle: Settle | None = None, commit: Commit | None = None
) -> Coroutine[Any, Any, tuple[Any, Frame]]:
    """Give what a cache keeps for a call, or else run its attempts; see `run_attempts`.

    The frame's `entry` is where the result is to be kept, once it is recorded.
    """
    entry = entry_for(call)
    if entry is None:
        return run_attempts(io, call, first_s, settle, commit)
    return _through_cache(io, call, first_s, entry, settle, commit)


async def _through_cache(
    io: RunnerIO, call: Call, first_s: float, entry: Entry, settle: Settle | None, commit: Commit | None
) -> tuple[Any, Frame]:
    journal = call.execution.journal
    # A body that was begun goes on: what was answered in it must not give way to the result of another call.
    is_new = journal is None or not journal.has_begun(call.key)
    found, value = await entry.look_up(io) if is_new else (False, None)
    if found:
        frame = Frame(call, 1, first_s, is_cached=True)
        call.attempts = 1
        if commit is not None:
            await commit(value, frame)
        return value, frame
    value, frame = await run_attempts(io, call, first_s, settle, commit)
    frame.entry = entry
    return value, frame


async def run_attempts(
    io: RunnerIO, call: Call, first_s: float, settle: Settle | None = None, commit: Commit | None = None
) -> tuple[Any, Frame]:
    """Call the function, again after failures that its policies retry, until it returns or fails for good.

    Args:
        io: the verbs.
        call: what is called.
        first_s: when the first attempt begins, seconds since the epoch.
        settle: called with what the body returned, before the calls are waited for that it left under way.
        commit: keeps what an attempt came to, as its last step: it may find that another writer was first, and then
            the attempt has failed.

    Returns:
        (what the function returned, the frame of the attempt that succeeded).
    """
    execution = call.execution
    retries = Retries(call.callee.retry) if call.callee.retry else None
    attempt = 1
    while True:
        frame = Frame(call, attempt, first_s)
        call.attempts = attempt
        try:
            watches = retries is not None and watching.observer is not None
            value = await (watching.watched_attempt(io, frame) if watches else io.call(frame))
            if settle is not None:
                settle(value)
            if frame.lazy is not None or frame.children:
                await io.drain(frame, "wait")
            if frame.unheard:
                _report_unheard(frame)
            if commit is not None and (frame.writes or execution.journal is not None or execution.questions):
                await commit(value, frame)
            frame.writes, frame.is_recorded = None, True
            return value, frame
        except Suspended:
            frame.writes = None
            await io.drain(frame, "wait")
            raise
        except BaseException as error:
            frame.writes = None
            await io.drain(frame, "stop" if isinstance(error, Exception) else "abandon")
            _report_unheard(frame, lineage(error))
            pause_s = _pause_s(io, retries, error)
            if pause_s is None:
                _annotate(call, error)
                raise
            _report_retry(frame, error, pause_s)
            if call.execution.journal is not None:
                call.execution.reopen(error)
                call.execution.journal.retry(call.key)
        call.execution.check_stopped()
        await _rest(io, execution, pause_s)
        attempt += 1


async def _rest(io: RunnerIO, execution: Execution, pause_s: float) -> None:
    """Pause before a further attempt: in a worker, which may be told to stop, by naps.

    Elsewhere in one piece, for people replace `time.sleep` to see how long it is.
    """
    until_s = time.time() + pause_s
    await io.sleep(min(pause_s, _NAP_S) if execution.keeps_failure else pause_s)
    execution.check_stopped()
    while execution.keeps_failure and (rest_s := until_s - time.time()) > 0:
        await io.sleep(min(rest_s, _NAP_S))
        execution.check_stopped()


def _pause_s(io: RunnerIO, retries: Retries | None, error: BaseException) -> float | None:
    if retries is None or not is_outcome(error):
        return None
    return retries.pause_s(error, io.chance)


def ask(frame: Frame, value: Any, timeout_s: float | None, default: Any) -> Any:
    """Return the answer to a question of a body, or stop it until there is one.

    Raises:
        Asked: there is none yet.
        ReplayMismatch: the answer that was kept is to another question.
    """
    execution = frame.call.execution
    execution.check_stopped()
    digest = fingerprint((value,), {})
    key, order = frame.next_key(INTERRUPT, (value,), {}), frame.next_order()
    if execution.journal is not None:
        record = execution.journal.find(key, digest, lambda: describe((value,), {}))
        if record is not None:
            return execution.value_of(record)["answer"]
    if execution.saver is not None:
        _check_recordable(frame, value, default)
    question = Question(
        id=question_id(execution.run_id, key), key=key, value=value, fingerprint=digest,
        deadline_s=_deadline_s(execution, key, timeout_s), default=default,
        within=_workflows_around(frame.call),
    )  # fmt: skip
    execution.ask(question, order)
    raise Asked(question)


def _deadline_s(execution: Execution, key: str, timeout_s: float | None) -> float | None:
    """Return when the time for an answer is over: counted from when the question was first asked."""
    if timeout_s is None:
        return None
    asked_before = execution.deadlines.get(key)
    return time.time() + timeout_s if asked_before is None else asked_before


def _workflows_around(call: Call) -> tuple[tuple[str, str], ...]:
    """Return the nested workflows in which a call is made, outermost first."""
    above = () if call.parent is None else _workflows_around(call.parent.call)
    nested = call.parent is not None and call.is_workflow
    return (*above, (call.key, call.callee.name)) if nested else above


def _check_recordable(frame: Frame, value: Any, default: Any) -> None:
    """Refuse a question that cannot be kept where it is asked."""
    try:
        encode(value, "question")
        encode(default, "default")
    except NotRecordable as error:
        raise NotRecordable(f"{frame.call.callee.name!r} asked what cannot be recorded: {error}") from error


async def pause(io: RunnerIO, frame: Frame, seconds: float) -> None:
    """Wait in a body; a run that is continued waits only for the rest."""
    execution = frame.call.execution
    digest, now_s = fingerprint((seconds,), {}), time.time()
    key, until_s = frame.next_key(SLEEP, (seconds,), {}), now_s + seconds
    if execution.journal is not None:
        if record := execution.journal.find(key, digest, lambda: str(seconds)):
            until_s = execution.value_of(record)
        else:
            execution.check_new(key)
            await keep(io, execution, [record_of(execution, key, SLEEP, digest, str(seconds), until_s, now_s)])
    while (rest_s := until_s - now_s) > 0:
        await io.sleep(min(rest_s, _NAP_S))
        execution.check_stopped()
        now_s = max(now_s + _NAP_S, time.time())  # the one where nobody really sleeps, the other where they oversleep


def _replayed(call: Call, record: Record) -> Any:
    emitter = call.execution.emitter
    if record.state == "failure":
        error = decode_failure(record.outcome)
        call.execution.note_failure(call.key, error, None)
        if emitter is not None:
            emitter.started(call)
            emitter.failed(call, error, replayed=True)
        raise error
    value = call.execution.value_of(record)
    show_replayed(call, value)
    return value


def _failure(call: Call, digest: bytes, error: BaseException, started_s: float) -> Record:
    return Record(
        key=call.key, name=call.callee.name, fingerprint=digest, arguments=describe(call.args, call.kwargs),
        state="failure", outcome=encode_failure(error), attempts=call.attempts, started_s=started_s,
        ended_s=time.time(),
    )  # fmt: skip


def _asks_below(call: Call) -> bool:
    return bool(call.execution.questions) and bool(_asked_below(call))


def _asked_below(call: Call) -> list[Any]:
    path = call.key + "/"
    questions = list(call.execution.questions.items())
    return [question.interrupt for key, question in questions if key.startswith(path)]


def _report_unheard(frame: Frame, told: Container[int] = ()) -> None:
    """Say which calls failed without anybody asking; `told` are the ids of errors that go to the caller."""
    for name, future, error in frame.unheard:
        if not future.heard and id(error) not in told:
            execution = frame.call.execution
            text = f"{name!r} failed and nobody asked for its result: {error!r}"
            execution.unheard.append(text)
            log.error("%s", text, exc_info=error, extra={**execution.named, "task": name})


def _report_retry(frame: Frame, error: BaseException, pause_s: float) -> None:
    name, attempt = frame.call.callee.name, frame.attempt
    extra = {**frame.call.execution.named, "task": name, "attempt": attempt}
    log.warning("%r failed at attempt %d and is tried again in %.3g s: %r", name, attempt, pause_s, error, extra=extra)


def _annotate(call: Call, error: BaseException) -> None:
    """Say in the exception which task and workflow it came through."""
    what = "workflow" if call.is_workflow else "task"
    note = f"in {what} {call.callee.name!r}" + (f" ({call.key})" if call.key else "")
    if isinstance(error, Exception) and note not in getattr(error, "__notes__", ()):
        error.add_note(note)
