"""Look at threads, runs and calls without the code of their workflows: from what is kept alone.

Values are plain data. One of a class is a dict with its class under "$type"; the class is not looked for.
"""

from __future__ import annotations

from typing import Any

from clew.codec.values import decode
from clew.database import Database
from clew.engine.shown import ShownCall, ShownQuestion, ShownRun, ShownThread, ShownTree
from clew.errors import InvalidOption
from clew.runner import looking
from clew.runner.async_io import ON_LOOP, run_awaited
from clew.runner.io import RunnerIO, run_blocking
from clew.runner.submitting import kept_options
from clew.runner.sync_io import BLOCKING
from clew.storage.base import Checkpointer

__all__ = [
    "ShownCall", "ShownQuestion", "ShownRun", "ShownThread", "ShownTree", "akept_call", "alist_runs", "alist_threads",
    "ashow_run", "kept_call", "list_runs", "list_threads", "show_run",
]  # fmt: skip

AnyKept = Database | Checkpointer


def list_threads(where: AnyKept, *, workflow: str | None = None, limit: int = 100) -> list[ShownThread]:
    """Show threads, with how their newest runs stand and what waits on them: those changed last first.

    Threads on which nothing has run yet come first of all.

    Args:
        where: a database, or a checkpointer.
        workflow: only those of this one.
        limit: at most so many, from 1.

    Raises:
        InvalidOption: a limit below 1.
        UnreadableRecord: a question is damaged, or encrypted.
    """
    return run_blocking(looking.threads(BLOCKING, _saver(where), workflow, _checked(limit)))


async def alist_threads(where: AnyKept, *, workflow: str | None = None, limit: int = 100) -> list[ShownThread]:
    """Like `list_threads`, for async code."""
    return await run_awaited(looking.threads(ON_LOOP, _saver(where), workflow, _checked(limit)))


def list_runs(
    where: AnyKept, thread_id: str, *, workflow: str | None = None, limit: int | None = None
) -> list[ShownRun]:
    """Show the runs of a thread, newest first.

    Args:
        where: a database, or a checkpointer.
        thread_id: which.
        workflow: whose; needed where several have a thread of that id.
        limit: at most so many, from 1; all if not given.

    Raises:
        NoSuchThread: there is none.
        InvalidOption: several workflows have such a thread; or a limit below 1.
        UnreadableRecord: something is damaged, or encrypted.
    """
    return run_blocking(_runs(BLOCKING, where, thread_id, workflow, limit))


async def alist_runs(
    where: AnyKept, thread_id: str, *, workflow: str | None = None, limit: int | None = None
) -> list[ShownRun]:
    """Like `list_runs`, for async code."""
    return await run_awaited(_runs(ON_LOOP, where, thread_id, workflow, limit))


def show_run(where: AnyKept, thread_id: str, *, run_id: str | None = None, workflow: str | None = None) -> ShownTree:
    """Show a run of a thread with all its calls.

    Args:
        where: a database, or a checkpointer.
        thread_id: which.
        run_id: the newest run if not given.
        workflow: whose; needed where several have a thread of that id.

    Raises: see `list_runs`; NoSuchThread also where there is no such run.
    """
    return run_blocking(_tree(BLOCKING, where, thread_id, run_id, workflow))


async def ashow_run(
    where: AnyKept, thread_id: str, *, run_id: str | None = None, workflow: str | None = None
) -> ShownTree:
    """Like `show_run`, for async code."""
    return await run_awaited(_tree(ON_LOOP, where, thread_id, run_id, workflow))


def kept_call(
    where: AnyKept, thread_id: str, *, run_id: str | None = None, workflow: str | None = None
) -> tuple[Any, dict[str, Any], Any]:
    """Return the input, the config and the context with which a run was called, for whoever goes on with it.

    Of a call that was submitted both are kept; of another one, the texts, numbers, booleans and UUIDs in `configurable`
    and in `metadata`. Unlike what the other functions here give, they are of the types that they were of: the code that
    names these was imported.

    Args:
        where: a database, or a checkpointer.
        thread_id: which.
        run_id: the newest run if not given.
        workflow: whose; needed where several have a thread of that id.

    Raises: see `show_run`.
    """
    return run_blocking(_kept_call(BLOCKING, where, thread_id, run_id, workflow))


async def akept_call(
    where: AnyKept, thread_id: str, *, run_id: str | None = None, workflow: str | None = None
) -> tuple[Any, dict[str, Any], Any]:
    """Like `kept_call`, for async code."""
    return await run_awaited(_kept_call(ON_LOOP, where, thread_id, run_id, workflow))


async def _kept_call(
    io: RunnerIO, where: AnyKept, thread_id: str, run_id: str | None, workflow: str | None
) -> tuple[Any, dict[str, Any], Any]:
    saver = _saver(where)
    thread = await looking.find_thread(io, saver, thread_id, workflow)
    run = await looking.find_run(io, saver, thread, run_id)
    options = await kept_options(io, saver, thread, run)
    return None if run.input is None else decode(run.input), options.config, options.context


async def _runs(
    io: RunnerIO, where: AnyKept, thread_id: str, workflow: str | None, limit: int | None
) -> list[ShownRun]:
    saver, most = _saver(where), None if limit is None else _checked(limit)
    return await looking.runs(io, saver, await looking.find_thread(io, saver, thread_id, workflow), most)


async def _tree(io: RunnerIO, where: AnyKept, thread_id: str, run_id: str | None, workflow: str | None) -> ShownTree:
    saver = _saver(where)
    return await looking.tree(io, saver, await looking.find_thread(io, saver, thread_id, workflow), run_id)


def _saver(where: AnyKept) -> Checkpointer:
    return where if isinstance(where, Checkpointer) else where.checkpointer


def _checked(limit: int) -> int:
    if limit < 1:
        raise InvalidOption(f"a limit is at least 1, not {limit!r}")
    return limit
