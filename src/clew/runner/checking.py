"""Replays unfinished runs against the code as it is now, and says which would break. Nothing happens meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

from clew.codec.values import decode
from clew.engine.journal import Journal
from clew.engine.records import Run, ThreadKey
from clew.errors import ReplayError, Suspended
from clew.runner import saved
from clew.runner.asking import questions_of
from clew.runner.async_io import ON_LOOP
from clew.runner.execution import Execution
from clew.runner.frame import Call, Scope
from clew.runner.io import RunnerIO, run_blocking
from clew.runner.memory import RunStore
from clew.runner.procedures import run_attempts
from clew.runner.settings import Settings
from clew.runner.submitting import kept_options
from clew.runner.sync_io import BLOCKING
from clew.storage.base import Checkpointer, Lease, ListThreads, Load, LoadRecords

T = TypeVar("T")

_EVERY = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of one unfinished run.

    Args:
        thread_id: its thread.
        run_id: the run.
        status: how it stands in the database: running, failed or interrupted.
        replayed: how many calls were answered from its journal.
        problem: why it would break, or None.
    """

    thread_id: str
    run_id: str
    status: str
    replayed: int
    problem: str | None


def check(settings: Settings, saver: Checkpointer, make_context: Callable[[Any], Any]) -> list[Finding]:
    """Replay every unfinished run of a workflow up to the first call that is not recorded.

    The workflow's own body runs, its tasks do not, and nothing is written.

    Args:
        settings: the workflow as the code declares it now.
        saver: where its threads are kept.
        make_context: makes what `runtime.context` is of what a submitter gave.
    """
    threads = saver.execute(ListThreads(settings.callee.name, _EVERY))
    heads = [(thread, saver.execute(Load(thread))) for thread in threads]
    return [
        _check_run(settings, saver, thread, run, make_context)
        for thread, run in heads
        if run is not None and _is_open(run)
    ]


def _is_open(run: Run) -> bool:
    return run.status != "done" and run.input is not None


def _check_run(
    settings: Settings, saver: Checkpointer, thread: ThreadKey, run: Run, make_context: Callable[[Any], Any]
) -> Finding:
    records = saver.execute(LoadRecords(run.id))
    journal = Journal(records, settings.on_mismatch, f"workflow {thread.workflow!r} on thread {thread.thread_id!r}")
    # No lease of this epoch was ever given, so that nothing can be written; but ids are drawn as they were.
    lease = Lease(thread, run.id, epoch=-1)
    execution = Execution(run_id=run.id, saver=saver, lease=lease, run=run, journal=journal, only_replays=True)
    if settings.callee.is_async:
        problem = _on_a_loop(_replay(ON_LOOP, settings, execution, lease, run, make_context))
    else:
        replay = _replay(BLOCKING, settings, execution, lease, run, make_context)
        problem = copy_context().run(run_blocking, replay)  # or the caller would be inside the run from then on
    if problem is None and settings.on_mismatch == "raise":
        problem = _not_made(journal) or _not_asked(run, execution)
    return Finding(
        thread_id=thread.thread_id, run_id=run.id, status=run.status, replayed=journal.answered, problem=problem
    )


def _on_a_loop(replay: Coroutine[Any, Any, T]) -> T:
    """Run a replay on an event loop of its own, beside one that runs here."""
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(asyncio.run, replay).result()


def _not_made(journal: Journal) -> str | None:
    vanished = ", ".join(repr(record.key) for record in journal.not_made())
    return f"recorded calls are no longer made: {vanished}" if vanished else None


def _not_asked(run: Run, execution: Execution) -> str | None:
    """Say which question that waits is not asked any more; nobody knows where a call was passed over before."""
    asked = {question.key: question.fingerprint for question in execution.asked}
    for question in [] if execution.journal is None or execution.journal.is_cut else questions_of(run):
        if asked.get(question.key) != question.fingerprint:
            return f"the question that waits is no longer asked, or is another one: {question.value!r}"
    return None


async def _replay(
    io: RunnerIO,
    settings: Settings,
    execution: Execution,
    lease: Lease,
    run: Run,
    make_context: Callable[[Any], Any],
) -> str | None:
    """Replay a run, and return why it would break, or None."""
    saver, thread = execution.saver, lease.thread
    assert saver is not None
    try:
        previous = saver.execute(Load(thread, run.previous)) if run.previous else None
        options = await kept_options(io, saver, thread, run)
        scope = Scope(
            workflow=thread.workflow,
            config=options.config,
            context=make_context(options.context),
            store=RunStore(settings.store) if settings.store is not None else None,
            previous=await saved.read(io, saver, previous.kept if previous is not None else None),
        )
        call = Call(execution, settings.callee, "", (decode(run.input or b""),), {}, None, scope)
        await run_attempts(io, call, time.time())
    except Suspended:
        return None
    except ReplayError as error:
        return str(error)
    except Exception as error:
        failed_before = run.status == "failed" and repr(error) == run.error
        return None if failed_before else f"the workflow raised {error!r} while it was replayed"
    return None
