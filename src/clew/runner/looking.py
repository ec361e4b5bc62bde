"""The procedures by which threads, runs and calls are looked at without the code of their workflows.

Values are shown as codec.shown shows them. Nothing is changed, and no lease is taken.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from clew.codec import growing
from clew.codec.failures import text_of_failure
from clew.codec.shown import as_json, read_parts, shown
from clew.engine.calls import Node, call_tree
from clew.engine.identity import FAILURE, INTERRUPT
from clew.engine.questions import Question
from clew.engine.records import Record, Run, ThreadKey, Work, end_checkpoint, input_checkpoint
from clew.engine.shown import ShownCall, ShownQuestion, ShownRun, ShownThread, ShownTree
from clew.engine.state import as_metadata
from clew.errors import InvalidOption, NoSuchThread, UnreadableRecord
from clew.runner.io import RunnerIO
from clew.runner.leases import is_dead, this_machine
from clew.storage.base import Checkpointer, ListRuns, ListThreads, Load, LoadPieces, LoadRecords
from clew.storage.queueing import FindWork, ListQueue
from clew.storage.upkeep import WalkThreads

_PAGE = 1000
_EVERY = 2**31 - 1
_EVER_S = 2.0**40  # later than every time for which a call may be submitted


async def find_thread(io: RunnerIO, saver: Checkpointer, thread_id: str, workflow: str | None) -> ThreadKey:
    """Return the thread of an id.

    Raises:
        NoSuchThread: there is none.
        InvalidOption: several workflows have one, and `workflow` names none of them.
    """
    keys = [key for key in await io.keep(saver, WalkThreads(ThreadKey(thread_id, ""), _PAGE)) if key[0] == thread_id]
    names = [key.workflow for key in keys]
    if workflow is None and len(keys) > 1:
        raise InvalidOption(f"several workflows have a thread {thread_id!r}: {', '.join(names)}; name one of them")
    if not keys or (workflow is not None and workflow not in names):
        of = f" of workflow {workflow!r}; it is one of {', '.join(names)}" if names else ""
        raise NoSuchThread(f"there is no thread {thread_id!r}{of}")
    return keys[0] if workflow is None else ThreadKey(thread_id, workflow)


async def threads(io: RunnerIO, saver: Checkpointer, workflow: str | None, limit: int) -> list[ShownThread]:
    """Show threads: those changed last first, and before them those on which only submitted calls wait.

    Args:
        io: the verbs.
        saver: where they are kept.
        workflow: only those of this one, or None.
        limit: at most so many.
    """
    waiting = await _without_runs(io, saver, {workflow} if workflow else await _workflows(io, saver), limit)
    keys = [*waiting, *await io.keep(saver, ListThreads(workflow, limit))][:limit]
    heads = [(key, await io.keep(saver, Load(key))) for key in keys]
    crashed = await _crashed(io, saver, {key.workflow for key, run in heads if run is not None and run.has_crashed})
    found = [await _thread(io, saver, key, run, key in crashed) for key, run in heads]
    return [thread for thread in found if thread is not None]


async def runs(io: RunnerIO, saver: Checkpointer, thread: ThreadKey, limit: int | None) -> list[ShownRun]:
    """Show the runs of a thread, newest first; at most `limit`."""
    found = await io.keep(saver, ListRuns(thread, None, limit))
    crashed = await _crashed(io, saver, {thread.workflow} if found and found[0].has_crashed else ())
    # A thread goes on with another run only once nobody runs the one before.
    return [_run(run, place > 0 or thread in crashed) for place, run in enumerate(found)]


async def find_run(io: RunnerIO, saver: Checkpointer, thread: ThreadKey, run_id: str | None) -> Run:
    """Return a run of a thread; the newest one if `run_id` is None.

    Raises:
        NoSuchThread: there is no such run.
    """
    run = await io.keep(saver, Load(thread, run_id))
    if run is None:
        which = "no run yet: calls that were submitted wait" if run_id is None else f"no run {run_id!r}"
        raise NoSuchThread(f"thread {thread.thread_id!r} of workflow {thread.workflow!r} has {which}")
    return run


async def tree(io: RunnerIO, saver: Checkpointer, thread: ThreadKey, run_id: str | None) -> ShownTree:
    """Show a run with its calls; the newest one if `run_id` is None.

    Raises:
        NoSuchThread: there is no such run.
        UnreadableRecord: something of it is damaged, or encrypted with other keys.
    """
    run = await find_run(io, saver, thread, run_id)
    records = await io.keep(saver, LoadRecords(run.id))
    head = await io.keep(saver, Load(thread)) if run.has_crashed else None
    is_newest = head is not None and head.id == run.id
    crashed = await _crashed(io, saver, {thread.workflow} if is_newest else ())
    raised = next((text_of_failure(record.outcome) for record in records if record.name == FAILURE), None)
    return ShownTree(
        thread_id=thread.thread_id, workflow=thread.workflow, run=_run(run, not is_newest or thread in crashed),
        value=await _unfolded(io, saver, run.value), saved=await _unfolded(io, saver, run.kept),
        traceback=raised and raised[2], calls=_calls(call_tree(records, _questions(run))),
    )  # fmt: skip


async def _workflows(io: RunnerIO, saver: Checkpointer) -> set[str]:
    """Return the names of all workflows that have threads."""
    names: set[str] = set()
    after: ThreadKey | None = None
    while page := await io.keep(saver, WalkThreads(after, _PAGE)):
        names.update(key.workflow for key in page)
        after = page[-1]
    return names


async def _without_runs(io: RunnerIO, saver: Checkpointer, workflows: Collection[str], limit: int) -> list[ThreadKey]:
    """Return the threads on which nothing has run yet."""
    queued = [work.thread for work in await _work(io, saver, workflows, _EVER_S) if work.why == "queued"]
    found: list[ThreadKey] = []
    for key in queued:
        if len(found) < limit and await io.keep(saver, Load(key)) is None:
            found.append(key)
    return found


async def _crashed(io: RunnerIO, saver: Checkpointer, workflows: Collection[str]) -> set[ThreadKey]:
    """Return the threads of some workflows whose newest run has lost its process."""
    work = await _work(io, saver, workflows, time.time()) if workflows else ()
    return {each.thread for each in work if each.why == "crashed" and (each.owner is None or is_dead(each.owner))}


async def _work(io: RunnerIO, saver: Checkpointer, workflows: Collection[str], now_s: float) -> Sequence[Work]:
    find = FindWork(workflows=sorted(workflows), now_s=now_s, machine=f"{this_machine()}/", limit=_EVERY)
    return await io.keep(saver, find)


async def _thread(
    io: RunnerIO, saver: Checkpointer, key: ThreadKey, run: Run | None, crashed: bool
) -> ShownThread | None:
    queue = await io.keep(saver, ListQueue(key))
    if run is None and not queue:
        return None  # deleted meanwhile
    changed_s = queue[0].created_s if run is None else run.created_s if run.ended_s is None else run.ended_s
    return ShownThread(
        thread_id=key.thread_id, workflow=key.workflow, run_id=None if run is None else run.id,
        status="queued" if run is None else _status(run, crashed), changed_at=_moment(changed_s),
        questions=() if run is None else tuple(map(_question, _questions(run))), queued=len(queue),
    )  # fmt: skip


def _status(run: Run, crashed: bool) -> str:
    return "crashed" if crashed and run.has_crashed else run.status


def _run(run: Run, crashed: bool) -> ShownRun:
    metadata = as_metadata(shown(run.metadata)) if run.metadata else {}  # first: it tells whether the rest is encrypted
    ends = (end_checkpoint(run.id),) if run.status == "done" else ()
    return ShownRun(
        id=run.id, number=run.number, source=run.source, status=_status(run, crashed),
        created_at=_moment(run.created_s), ended_at=None if run.ended_s is None else _moment(run.ended_s),
        attempts=run.attempts, parent=run.parent,
        checkpoints=(*ends, input_checkpoint(run.id)) if run.has_input_checkpoint else ends,
        input=None if run.input is None else shown(run.input), error=run.error,
        questions=tuple(map(_question, _questions(run))), metadata=metadata,
    )  # fmt: skip


def _questions(run: Run) -> list[Question]:
    """Return the questions of a run that wait, with what they ask as it is shown."""
    try:
        return [Question(**question) for question in shown(run.questions)] if run.questions else []
    except TypeError as error:
        raise UnreadableRecord(f"the questions of run {run.id} are damaged: {error}") from error


def _question(question: Question) -> ShownQuestion:
    deadline_at = None if question.deadline_s is None else _moment(question.deadline_s)
    return ShownQuestion(id=question.id, value=question.value, deadline_at=deadline_at, default=question.default)


async def _unfolded(io: RunnerIO, saver: Checkpointer, frame: bytes | None) -> Any:
    """Show what a run left."""
    if frame is None:
        return None
    last = growing.last_pieces(frame)
    chains = {path: growing.joined(await io.keep(saver, LoadPieces(piece))) for path, piece in last.items()}
    return as_json(growing.unfold(frame, chains, read_parts))


def _calls(node: Node) -> tuple[ShownCall, ...]:
    return tuple(map(_call, node.below))


def _call(node: Node) -> ShownCall:
    record, question = node.record, node.question
    value, error, traceback = (None, None, None) if record is None else _outcome(record)
    state = record.state if record is not None else "open" if question is None else "waiting"
    return ShownCall(
        key=node.key, name=_name(node), arguments="" if record is None else record.arguments, state=state, value=value,
        error=error, traceback=traceback, attempts=0 if record is None else record.attempts,
        started_at=None if record is None else _moment(record.started_s),
        ended_at=None if record is None else _moment(record.ended_s),
        question=None if question is None else _question(question), calls=_calls(node),
    )  # fmt: skip


def _name(node: Node) -> str:
    return node.record.name if node.record is not None else node.key.rpartition("/")[2].rpartition("#")[0]


def _outcome(record: Record) -> tuple[Any, str | None, str | None]:
    """Return the value of a call, or the text and the traceback of what it raised."""
    if record.state != "value":
        name, message, traceback = text_of_failure(record.outcome)
        return None, f"{name}: {message}" if message else name, traceback
    value = shown(record.outcome)
    is_answer = record.name == INTERRUPT and type(value) is dict and "answer" in value
    return value["answer"] if is_answer else value, None, None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
