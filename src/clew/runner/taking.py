"""Takes a thread for a run: looks at what is kept, plans, and takes the lease in one step with the input."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from clew.codec.fingerprint import describe, fingerprint
from clew.codec.values import decode, encode
from clew.engine import planning
from clew.engine.identity import CALL, INTERRUPT, TRACE, keyed_run_id
from clew.engine.planning import Place, Plan
from clew.engine.questions import Command, Question
from clew.engine.records import Queued, Record, Run, ThreadKey, run_of
from clew.engine.state import kept_config
from clew.errors import (
    Conflict,
    InvalidOption,
    InvalidResume,
    NoSuchThread,
    NotRecordable,
    StorageError,
    ThreadBusy,
    Unavailable,
)
from clew.runner import saved
from clew.runner.asking import answer_record, answered_questions, questions_of, report_dropped
from clew.runner.io import RunnerIO
from clew.runner.leases import LEASE_S, Unended, called, is_dead, keeper, this_process
from clew.runner.logs import fields
from clew.runner.saved import NOTHING, Saved
from clew.runner.waiting import Waiting
from clew.storage.base import Append, Asked, Begin, Checkpointer, End, Keep, Lease, Load, LoadRecords, Watch

log = logging.getLogger("clew.runs")

_LATER_S = 1.0


class Taken(Struct, frozen=True, kw_only=True):
    """A run that may be executed.

    Args:
        plan: what is to be done.
        lease: the right to do it; None where only a kept value is to be returned.
        records: the run's journal.
        previous: what the last run saved.
        asked: the questions that the run stopped at.
        left: what an observer left with the run when it was begun, or with the one that it is a copy of.
        told: what the run was asked before it was taken over.
    """

    plan: Plan
    lease: Lease | None
    records: Sequence[Record] = ()
    previous: Saved = NOTHING
    asked: Sequence[Question] = ()
    left: Sequence[Mapping[str, str]] = ()
    told: Asked | None = None


async def take(
    io: RunnerIO,
    saver: Checkpointer,
    thread: ThreadKey,
    input: Any,
    config: Mapping[str, Any],
    waiting: Waiting,
    queued: Queued | None = None,
    head: Run | None = None,
    leaves: Mapping[str, str] | None = None,
) -> Taken:
    """Plan what a call means on a thread, and take the thread for it.

    Args:
        io: the verbs.
        saver: where the thread is kept.
        thread: which.
        input: as for `invoke`.
        config: the caller's.
        waiting: how others are waited for.
        queued: the place of a submitted call, or None.
        head: what the thread's newest run must be, or None.
        leaves: what an observer leaves with a new run, for whoever continues it.

    Raises:
        NoSuchThread, InvalidResume: see planning.
        InvalidOption, RecordedFailure, RunStopped: the call names a run that was begun with another input, or that
            has ended without a value and lies behind.
        ThreadBusy: others came first, and were not to be waited for, or for too long.
        LimitReached: see Begin.
    """
    evicts: list[str] = []
    submitted = _Submitted(io, saver)
    while True:
        place = await find_place(io, saver, thread, config)
        if head is not None and (place.head is None or place.head.version != head.version):
            raise Conflict(f"thread {thread.thread_id!r} of workflow {thread.workflow!r} has gone on meanwhile")
        if queued is not None and place.head is not None and place.head.status == "running":
            # Its process may have died since this call was found: what was submitted before is never given up for it.
            raise Conflict(f"thread {thread.thread_id!r} of workflow {thread.workflow!r} has a run that ends first")
        plan = await _plan(io, saver, thread, place, input, config, queued, waiting.run_key)
        try:
            if plan.act == "begin" and waiting.wants is None and await submitted.comes_before(place.head):
                raise ThreadBusy(f"a submitted call has begun on thread {thread.thread_id!r}, and ends first", "")
            return await _begin(io, saver, thread, place, plan, evicts, queued, waiting, leaves or {})
        except Conflict as conflict:
            await waiting.for_change(io, conflict)
        except ThreadBusy as busy:
            if is_dead(busy.owner):
                evicts.append(busy.owner)
                text = "thread %r of workflow %r is taken over from %s, which has ended"
                log.info(text, *thread, called(busy.owner), extra=fields(thread))
            elif busy.owner == this_process() and (unended := keeper.unended(saver, thread)) is not None:
                await _keep_end(io, saver, unended)
            else:
                await waiting.for_others(io, busy, place.head, plan.run)


class _Submitted:
    """Knows which runs of a thread were submitted: these are not given up for a newer input, but end first."""

    def __init__(self, io: RunnerIO, saver: Checkpointer) -> None:
        self._io = io
        self._saver = saver
        self._known: dict[str, bool] = {}

    async def comes_before(self, head: Run | None) -> bool:
        """Say whether the newest run is under way, or is to go on elsewhere, and was submitted."""
        if head is None or head.status != "running":
            return False
        if head.id not in self._known:
            calls = await self._io.keep(self._saver, LoadRecords(head.id, CALL))
            self._known[head.id] = bool(calls)
        return self._known[head.id]


async def find_place(io: RunnerIO, saver: Checkpointer, thread: ThreadKey, config: Mapping[str, Any]) -> Place:
    """Find the checkpoint that a config names; the newest where it names none.

    Raises:
        NoSuchThread: it names one that this thread does not have.
    """
    head = await io.keep(saver, Load(thread))
    checkpoint_id = (config.get("configurable") or {}).get("checkpoint_id")
    if checkpoint_id is None:
        return Place(head=head, run=head, at_end=head is not None and head.status == "done", chosen=False)
    run_id, at_end = run_of(str(checkpoint_id))
    run = head if head is not None and head.id == run_id else await io.keep(saver, Load(thread, run_id))
    if run is None or (at_end and run.status != "done") or not (at_end or run.has_input_checkpoint):
        raise NoSuchThread(
            f"thread {thread.thread_id!r} of {thread.workflow!r} has no checkpoint {checkpoint_id!r}; "
            "get_state_history lists those it has"
        )
    return Place(head=head, run=run, at_end=at_end, chosen=True)


async def previous_of(io: RunnerIO, saver: Checkpointer, thread: ThreadKey, place: Place, run_id: str | None) -> Saved:
    """Read back what a run saved."""
    if run_id is None:
        return NOTHING
    known = next((run for run in (place.head, place.run) if run is not None and run.id == run_id), None)
    run = known or await io.keep(saver, Load(thread, run_id))
    if run is None:
        raise NoSuchThread(f"run {run_id} of thread {thread.thread_id!r}, where this one starts, was pruned meanwhile")
    return await saved.read(io, saver, run.kept)


async def planned(io: RunnerIO, saver: Checkpointer, thread: ThreadKey, input: Any, config: Mapping[str, Any]) -> Plan:
    """Say what a call would mean on a thread as it stands.

    Raises:
        NoSuchThread, InvalidResume: see planning.
    """
    return await _plan(io, saver, thread, await find_place(io, saver, thread, config), input, config, None)


async def _plan(
    io: RunnerIO,
    saver: Checkpointer,
    thread: ThreadKey,
    place: Place,
    input: Any,
    config: Mapping[str, Any],
    queued: Queued | None,
    run_key: str | None = None,
) -> Plan:
    if queued is not None and queued.act == "input":
        assert queued.input is not None
        return planning.new_run(place, queued.id, time.time(), queued.input, encode(kept_config(config)))
    try:
        run_id = None if run_key is None else keyed_run_id(thread, run_key)
        if run_id is not None and (run := await _named(io, saver, thread, place, run_id)) is not None:
            check_same_input(run.input, input, run_key)
            return planning.again(place, run, time.time(), questions_of(run))
        return _with_memory_as_of(await _plan_call(io, saver, place, input, config, run_id), config)
    except (NoSuchThread, InvalidResume) as error:
        raise type(error)(f"thread {thread.thread_id!r} of workflow {thread.workflow!r}: {error}") from None


def _with_memory_as_of(plan: Plan, config: Mapping[str, Any]) -> Plan:
    """Let a copy of a run keep for all its life that it was begun to see memory as it was."""
    wanted = (config.get("configurable") or {}).get("memory_as_of")
    if plan.act != "fork" or wanted is None:
        return plan
    config = decode(plan.run.metadata)
    metadata = {**config, "configurable": {**config.get("configurable", {}), "memory_as_of": wanted}}
    return replace(plan, run=replace(plan.run, metadata=encode(metadata)))


async def _named(io: RunnerIO, saver: Checkpointer, thread: ThreadKey, place: Place, run_id: str) -> Run | None:
    """Return the run that a caller has named, if it was begun."""
    if place.head is not None and place.head.id == run_id:
        return place.head
    return await io.keep(saver, Load(thread, run_id))


def check_same_input(kept: bytes | None, input: Any, run_key: str | None) -> None:
    """Refuse a call whose `run_key` belongs to a run with another input.

    Raises:
        InvalidOption: it does.
    """
    if kept is None or kept == encoded_input(input):
        return
    before = decode(kept)
    if fingerprint((before,), {}) != fingerprint((input,), {}):
        raise InvalidOption(
            f"run_key {run_key!r} belongs to a run that has another input: {describe((before,), {})}, and not "
            f"{describe((input,), {})}; give another input another run_key"
        )


async def _plan_call(
    io: RunnerIO, saver: Checkpointer, place: Place, input: Any, config: Mapping[str, Any], run_id: str | None
) -> Plan:
    id, now_s = run_id or uuid.uuid4().hex, time.time()
    if isinstance(input, Command):
        records = await _records_to_answer(io, saver, place)
        return planning.resume(place, id, now_s, input.resume, _asked(place, records), records)
    if input is None and place.run is not None:
        return planning.go_on(place, id, now_s, questions_of(place.run), ())
    if input is None:
        return planning.go_on(place, id, now_s, (), ())
    return planning.new_run(place, id, now_s, encoded_input(input), encode(kept_config(config)))


async def _records_to_answer(io: RunnerIO, saver: Checkpointer, place: Place) -> Sequence[Record]:
    if place.run is None or place.at_end:
        return ()
    return await io.keep(saver, LoadRecords(place.run.id, INTERRUPT if place.is_latest else None))


def _asked(place: Place, records: Sequence[Record]) -> list[Question]:
    """Return what can be answered at a place: what waits there; in the past, all that was asked."""
    if place.run is None:
        return []
    waiting = questions_of(place.run)
    return waiting if place.is_latest else [*answered_questions(place.run, records), *waiting]


async def _begin(
    io: RunnerIO,
    saver: Checkpointer,
    thread: ThreadKey,
    place: Place,
    plan: Plan,
    evicts: Sequence[str],
    queued: Queued | None,
    waiting: Waiting,
    leaves: Mapping[str, str],
) -> Taken:
    now_s = time.time()
    if plan.act == "return":
        return Taken(plan=plan, lease=None)
    if plan.act == "fork" and plan.run.status == "done":
        await io.keep(saver, Keep(thread, plan.run, place.head, now_s, evicts))
        return Taken(plan=plan, lease=None)
    answers = [answer_record(question, answer, now_s) for question, answer in plan.answers]
    copied = [record for record in plan.records if record.name != TRACE] if plan.act == "fork" else []
    taken_along = [] if queued is None else [_own_record(CALL, queued.config, now_s)]
    if leaves and plan.act != "continue":
        taken_along.append(_own_record(TRACE, encode(dict(leaves)), now_s))
    begin = Begin(
        thread=thread, run=plan.run, head=place.head, records=[*copied, *taken_along, *answers], owner=this_process(),
        until_s=now_s + LEASE_S, now_s=now_s, evicts=evicts, queued=waiting.place, limit=waiting.limit,
    )  # fmt: skip
    lease = await io.keep(saver, begin)
    waiting.is_served()
    if plan.act == "begin":
        report_dropped(thread, place.head)
    try:
        # Read only now: whoever wrote to this run before has lost the right to.
        records = await io.keep(saver, LoadRecords(plan.run.id)) if plan.act == "continue" else begin.records
        previous = await previous_of(io, saver, thread, place, plan.run.previous)
        left = await _left(io, saver, place, plan, records) if leaves else ()
        told = await told_before(io, saver, lease) if begin.takes_over else None
    except BaseException as error:
        await give_back(io, saver, lease, error)
        raise
    asked = questions_of(place.run) if plan.act == "continue" and place.run is not None else ()
    return Taken(plan=plan, lease=lease, records=records, previous=previous, asked=asked, left=left, told=told)


async def told_before(io: RunnerIO, saver: Checkpointer, lease: Lease) -> Asked | None:
    """Return what a run that was taken over was asked while nobody heard it."""
    return (await io.keep(saver, Watch([lease]))).get(lease.run_id)


async def give_back(io: RunnerIO, saver: Checkpointer, lease: Lease, error: BaseException) -> None:
    """Give a lease back before anything was executed, because of an error; the run can be continued."""
    end = left_for_later() if isinstance(error, Unavailable) else failed(error)
    try:
        await io.keep(saver, Append(lease=lease, end=end))
    except StorageError:  # the error that is raised is the first one
        keeper.leave_unended(saver, lease, end)


async def _keep_end(io: RunnerIO, saver: Checkpointer, unended: Unended) -> None:
    """Keep how a run of this process ended, which could not be kept then."""
    try:
        await io.keep(saver, Append(lease=unended.lease, end=unended.end))
    except Conflict:
        return  # the thread was taken over since, or its end was kept after all
    except BaseException:
        keeper.leave_unended(saver, unended.lease, unended.end)
        raise


def failed(error: BaseException, reopened: Sequence[str] = ()) -> End:
    """Return the end of a run that failed."""
    return End(status="failed", error=repr(error), ended_s=time.time(), reopened=reopened)


def left_for_later(reopened: Sequence[str] = ()) -> End:
    """Return the end of what is done of a run here: the database failed it, and whoever finds it later goes on."""
    now_s = time.time()
    return End(status="running", ended_s=now_s, reopened=reopened, due_s=now_s + _LATER_S)


def _own_record(name: str, outcome: bytes, now_s: float) -> Record:
    """Make the record of what belongs to a run and is no call, for whoever goes on with it."""
    return Record(
        key=name, name=name, fingerprint=b"", arguments="", state="value", outcome=outcome, attempts=1,
        started_s=now_s, ended_s=now_s,
    )  # fmt: skip


async def _left(
    io: RunnerIO, saver: Checkpointer, place: Place, plan: Plan, records: Sequence[Record]
) -> list[Mapping[str, str]]:
    """Return what an observer left with the run that a plan goes on with, or copies."""
    if plan.act == "begin" or place.run is None:
        return []
    if plan.act == "fork":
        records = await io.keep(saver, LoadRecords(place.run.id, TRACE))
    return [decode(record.outcome) for record in records if record.name == TRACE]


def encoded_input(input: Any) -> bytes:
    """Encode the input of a run.

    Raises:
        NotRecordable: it could not be read back.
    """
    try:
        return encode(input, "input")
    except NotRecordable as error:
        raise NotRecordable(f"the input cannot be recorded: {error}") from error
