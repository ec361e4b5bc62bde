"""Tells a stream which checkpoints a run has kept."""

from __future__ import annotations

from clew.engine.records import ThreadKey
from clew.engine.state import at_end, at_input
from clew.runner.execution import Execution
from clew.runner.io import RunnerIO
from clew.runner.states import view_of
from clew.storage.base import Load


async def show_input(io: RunnerIO, execution: Execution, thread: ThreadKey) -> None:
    """Tell that the input is kept."""
    await _show(io, execution, thread, ended=False)


async def show_end(io: RunnerIO, execution: Execution, thread: ThreadKey) -> None:
    """Tell that the end is kept."""
    await _show(io, execution, thread, ended=True)


async def _show(io: RunnerIO, execution: Execution, thread: ThreadKey, *, ended: bool) -> None:
    emitter, saver = execution.emitter, execution.saver
    if emitter is None or saver is None or not (emitter.wants("checkpoints") or emitter.wants("debug")):
        return
    run = await io.keep(saver, Load(thread, execution.run_id))
    if run is not None:
        view = await view_of(io, saver, thread, run, {})
        emitter.checkpoint(at_end(thread, view) if ended else at_input(thread, view))
