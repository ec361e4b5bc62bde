"""Replays unfinished runs against the code as it is now, and says which would break. Nothing happens meanwhile."""

from __future__ import annotations

import asyncio
import time
from contextvars import copy_context
from dataclasses import dataclass

from clew.codec.values import decode
from clew.engine.journal import Journal
from clew.engine.records import Run, ThreadKey
from clew.errors import ReplayError, Suspended
from clew.runner import saved
from clew.runner.async_io import ON_LOOP
from clew.runner.execution import Execution
from clew.runner.frame import Call, Scope
from clew.runner.io import RunnerIO, run_blocking
from clew.runner.memory import RunStore
from clew.runner.procedures import run_attempts
from clew.runner.settings import Settings
from clew.runner.sync_io import BLOCKING
from clew.storage.base import Checkpointer, ListThreads, Load, LoadRecords

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


def check(settings: Settings, saver: Checkpointer) -> list[Finding]:
    """Replay every unfinished run of a workflow up to the first call that is not recorded.

    The workflow's own body runs, its tasks do not, and nothing is written.

    Args:
        settings: the workflow as the code declares it now.
        saver: where its threads are kept.
    """
    threads = saver.execute(ListThreads(settings.callee.name, _EVERY))
    heads = [(thread, saver.execute(Load(thread))) for thread in threads]
    return [_check_run(settings, saver, thread, run) for thread, run in heads if run is not None and _is_open(run)]


def _is_open(run: Run) -> bool:
    return run.status != "done" and run.input is not None


def _check_run(settings: Settings, saver: Checkpointer, thread: ThreadKey, run: Run) -> Finding:
    records = saver.execute(LoadRecords(run.id))
    journal = Journal(records, settings.on_mismatch, f"workflow {thread.workflow!r} on thread {thread.thread_id!r}")
    if settings.callee.is_async:
        problem = asyncio.run(_replay(ON_LOOP, settings, saver, thread, run, journal))
    else:
        replay = _replay(BLOCKING, settings, saver, thread, run, journal)
        problem = copy_context().run(run_blocking, replay)  # or the caller would be inside the run from then on
    vanished = [] if problem or settings.on_mismatch != "raise" else journal.not_made()
    if vanished:
        problem = "recorded calls are no longer made: " + ", ".join(repr(record.key) for record in vanished)
    return Finding(
        thread_id=thread.thread_id, run_id=run.id, status=run.status, replayed=journal.answered, problem=problem
    )


async def _replay(
    io: RunnerIO, settings: Settings, saver: Checkpointer, thread: ThreadKey, run: Run, journal: Journal
) -> str | None:
    """Replay a run, and return why it would break, or None."""
    try:
        execution = Execution(run_id=run.id, saver=saver, run=run, journal=journal, only_replays=True)
        previous = saver.execute(Load(thread, run.previous)) if run.previous else None
        scope = Scope(
            workflow=thread.workflow,
            config={"configurable": {"thread_id": thread.thread_id}},
            context=None,
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
