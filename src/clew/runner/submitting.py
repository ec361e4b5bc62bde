"""The procedures around a submitted call: keep it in the queue of its thread, and see what becomes of it.

A submitted call is a place in the queue, then a run. Where it answers a question or continues a run it has an id of its
own, and the run that it concerns is the one that is newest when its turn comes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from clew.codec.failures import decode_failure
from clew.codec.values import decode, encode
from clew.engine.activities import WatchedSubmission
from clew.engine.events import Event, Wanted
from clew.engine.identity import CALL, FAILURE
from clew.engine.questions import Command
from clew.engine.records import Act, Queued, Run, ThreadKey
from clew.errors import RecordedFailure, RunCancelled, RunStopped
from clew.runner import asking, saved, taking
from clew.runner.dispatching import Ear, dispatcher_of
from clew.runner.execution import Result
from clew.runner.io import RunnerIO
from clew.runner.publishing import END, decoded
from clew.runner.watching import watched
from clew.storage.base import Ask, Checkpointer, Load, LoadEvents, LoadRecords
from clew.storage.queueing import Enqueue, LeaveQueue, ListQueue

HandleStatus = Literal["queued", "running", "done", "failed", "interrupted", "cancelled"]

_LOOK_S = 0.02
_LONGEST_LOOK_S = 0.5
_PATIENCE_S = 1.0  # how long the last events of a run that has ended are waited for


class CallOptions(Struct, frozen=True, kw_only=True):
    """What a submitted call takes along beside its input, for whoever carries it out.

    Args:
        config: the caller's, merged with what was bound.
        context: as the caller gave it.
        wanted: the events that are kept for readers, or None.
        follows: what an observer left with the submitter, for whoever watches the run.
    """

    config: dict[str, Any]
    context: Any = None
    wanted: Wanted | None = None
    follows: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the bytes that are kept.

        Raises:
            NotRecordable: config or context could not be read back; the message says where.
        """
        wanted = self.wanted
        shown = None if wanted is None else {"modes": sorted(wanted.modes), "subgraphs": wanted.subgraphs}
        encode(self.config, "config")
        encode(self.context, "context")
        follows = {"follows": dict(self.follows)} if self.follows else {}
        return encode({"config": self.config, "context": self.context, "shown": shown, **follows})

    @classmethod
    def decode(cls, data: bytes) -> CallOptions:
        """Read them back."""
        kept = decode(data)
        shown = kept["shown"]
        wanted = shown and Wanted(modes=frozenset(shown["modes"]), single=False, subgraphs=shown["subgraphs"])
        follows = kept.get("follows", {})
        return cls(config=kept["config"], context=kept["context"], wanted=wanted, follows=follows)


class Ticket(Struct, frozen=True, kw_only=True):
    """A submitted call, as its submitter knows it.

    Args:
        saver: where its thread is kept.
        thread: its thread.
        id: of its place in the queue.
        run_id: the run that it is about.
        after: number of the last event of that run before it.
    """

    saver: Checkpointer
    thread: ThreadKey
    id: str
    run_id: str
    after: int = 0


async def submit(
    io: RunnerIO, saver: Checkpointer, input: Any, options: CallOptions, place: Queued, run_key: str | None
) -> Ticket:
    """Keep a call in the queue of its thread; one of the same id that is there already stands.

    Args:
        io: the verbs.
        saver: where the thread is kept.
        input: as for `invoke`.
        options: what goes along.
        place: with all but these.
        run_key: the caller's name for the run, or None.

    Raises:
        InvalidOption: the run of that name has another input.
        NotRecordable: the input or the options could not be read back.
        NoSuchThread, InvalidResume: there is nothing to continue or to answer.
    """
    act, encoded = _encoded(input)
    thread, run_id, after = place.thread, place.id, 0
    with watched(WatchedSubmission(workflow=thread.workflow, thread_id=thread.thread_id)) as seen:
        options = replace(options, follows=seen.leaves)
        place = replace(place, act=act, input=encoded, config=options.encode())
        if act != "input":
            run_id = await _concerned(io, saver, thread, input, options.config)
            if options.wanted is not None:
                after = max((number for number, _ in await io.keep(saver, LoadEvents(run_id))), default=0)
        seen.run_id = run_id
        if not await io.keep(saver, Enqueue(place)) and run_key is not None:
            taking.check_same_input(await _input_there(io, saver, place), input, run_key)
    dispatcher_of(saver).announce(thread)
    return Ticket(saver=saver, thread=thread, id=place.id, run_id=run_id, after=after)


async def _input_there(io: RunnerIO, saver: Checkpointer, place: Queued) -> bytes | None:
    """Read the input of the call that stands where a place was to be taken."""
    for there in await io.keep(saver, ListQueue(place.thread, place.id)):
        return there.input
    run = await io.keep(saver, Load(place.thread, place.id))
    return None if run is None else run.input


def _encoded(input: Any) -> tuple[Act, bytes | None]:
    if isinstance(input, Command):
        return "resume", encode(input.resume, "the answer")
    return ("continue", None) if input is None else ("input", taking.encoded_input(input))


async def _concerned(
    io: RunnerIO, saver: Checkpointer, thread: ThreadKey, input: Any, config: Mapping[str, Any]
) -> str:
    """Return the id of the run that an answer, or a call to continue, is about."""
    inputs = [place for place in await io.keep(saver, ListQueue(thread)) if place.act == "input" and not place.owner]
    if inputs:
        return inputs[-1].id
    plan = await taking.planned(io, saver, thread, input, config)  # refuses what makes no sense
    return plan.run.id


async def kept_options(io: RunnerIO, saver: Checkpointer, thread: ThreadKey, run: Run) -> CallOptions:
    """Return what the call of a run took along, as far as it was kept: of one that was not submitted, little is."""
    records = await io.keep(saver, LoadRecords(run.id, CALL))
    if records:
        return CallOptions.decode(records[-1].outcome)
    config = decode(run.metadata) if run.metadata else {}
    configurable = {**config.get("configurable", {}), "thread_id": thread.thread_id}
    return CallOptions(config={**config, "configurable": configurable})


async def status(io: RunnerIO, ticket: Ticket) -> HandleStatus:
    """Say how a submitted call stands."""
    return (await _look(io, ticket))[0]


async def result(io: RunnerIO, ticket: Ticket, timeout_s: float | None) -> Result:
    """Wait until a submitted call has ended, and return what it came to.

    Raises:
        TimeoutError: it has not ended in time.
        RunCancelled, RunStopped: it was cancelled, or stopped by a newer input.
        Whatever the run raised.
    """
    until_s = None if timeout_s is None else time.monotonic() + timeout_s
    ear, pause_s = dispatcher_of(ticket.saver).listen(ticket.thread), _LOOK_S
    try:
        while True:
            now, run = await _look(io, ticket)
            if now not in ("queued", "running"):
                return await _outcome(io, ticket, run)
            remaining_s = pause_s if until_s is None else until_s - time.monotonic()
            if remaining_s <= 0:
                where = f"thread {ticket.thread.thread_id!r}"
                raise TimeoutError(f"call {ticket.id} on {where} is still {now} after {timeout_s} s")
            await io.hear(ear, min(pause_s, remaining_s))
            pause_s = min(pause_s * 1.5, _LONGEST_LOOK_S)
    finally:
        ear.close()


async def cancel(io: RunnerIO, ticket: Ticket) -> bool:
    """Take a submitted call out of the queue, or ask its run to stop; say whether either was possible."""
    if await io.keep(ticket.saver, LeaveQueue(ticket.id)):
        dispatcher_of(ticket.saver).announce(ticket.thread)
        return True
    return await io.keep(ticket.saver, Ask(ticket.thread, "cancel", ticket.run_id))


class Reader:
    """How far somebody has read the events of a submitted call."""

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.after = ticket.after
        self.has_ended = False
        self.ear: Ear = dispatcher_of(ticket.saver).listen(ticket.thread)


async def read_on(io: RunnerIO, reader: Reader) -> Sequence[Event]:
    """Wait for the next events of a submitted call; none are left once nothing is returned.

    Raises:
        What `result` raises, after the last event.
    """
    pause_s, patience_until_s = _LOOK_S, None
    while not reader.has_ended:
        now, _ = await _look(io, reader.ticket)
        rows = await io.keep(reader.ticket.saver, LoadEvents(reader.ticket.run_id, reader.after))
        if rows:
            reader.after = rows[-1][0]
            reader.has_ended = any(body == END for _, body in rows)
            return [decoded(body) for _, body in rows if body != END] or await read_on(io, reader)
        if now not in ("queued", "running"):
            patience_until_s = patience_until_s or time.monotonic() + _PATIENCE_S
            reader.has_ended = now == "cancelled" or time.monotonic() > patience_until_s
        await io.hear(reader.ear, pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_LOOK_S)
    await result(io, reader.ticket, None)
    return ()


async def _look(io: RunnerIO, ticket: Ticket) -> tuple[HandleStatus, Run | None]:
    # The queue first: a place that has gone from it has become part of a run, unless it was taken out.
    if await io.keep(ticket.saver, ListQueue(ticket.thread, ticket.id)):
        return "queued", None
    head = await io.keep(ticket.saver, Load(ticket.thread))
    if head is not None and head.id == ticket.run_id:
        return head.status, head
    run = await io.keep(ticket.saver, Load(ticket.thread, ticket.run_id))
    # One that did not end before the next began was given up for that.
    return ("cancelled", None) if run is None or run.status == "running" else (run.status, run)


async def _outcome(io: RunnerIO, ticket: Ticket, run: Run | None) -> Result:
    if run is None or run.status == "cancelled":
        where = f"call {ticket.id} on thread {ticket.thread.thread_id!r}"
        why = "was cancelled" if run is not None else "was cancelled, given up for a newer input, or never submitted"
        raise RunCancelled(f"{where} {why}", ticket.run_id)
    if run.status == "failed":
        raise await _failure(io, ticket, run)
    if run.status == "interrupted":
        interrupts = tuple(question.interrupt for question in asking.questions_of(run))
        if not interrupts:
            raise RunStopped(f"run {run.id} on thread {ticket.thread.thread_id!r}: {run.error}", run.id, "interrupt")
        return Result(interrupts=interrupts, interrupted=True)
    return Result(value=(await saved.read(io, ticket.saver, run.value)).value)


async def _failure(io: RunnerIO, ticket: Ticket, run: Run) -> BaseException:
    records = await io.keep(ticket.saver, LoadRecords(run.id, FAILURE))
    # Of a run that failed before anything was executed, or outside of a worker, there is only the text.
    return decode_failure(records[-1].outcome) if records else RecordedFailure("the run", run.error or "")
