"""The procedures by which a thread is looked at, and a value is set by hand."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from clew.codec.growing import Chain, Path
from clew.codec.values import decode, encode
from clew.engine import planning
from clew.engine.identity import INTERRUPT
from clew.engine.records import Run, ThreadKey, end_checkpoint, run_of
from clew.engine.state import (
    StateSnapshot,
    View,
    as_metadata,
    at_end,
    at_input,
    config_of,
    kept_config,
    matches,
    missing,
    nested,
)
from clew.errors import Conflict, NoSuchThread, ThreadBusy
from clew.runner import saved
from clew.runner.asking import answered_questions, questions_of, report_dropped
from clew.runner.io import RunnerIO
from clew.runner.leases import is_dead
from clew.runner.taking import find_place, previous_of
from clew.storage.base import Checkpointer, Keep, ListRuns, Load, LoadRecords

_TRIES = 10
_FIRST_RUNS, _MORE_RUNS = 8, 100


async def get_state(
    io: RunnerIO, saver: Checkpointer, thread: ThreadKey, config: Mapping[str, Any], *, subgraphs: bool = False
) -> StateSnapshot:
    """Show a thread at the checkpoint that a config names, or at its newest.

    Args:
        io: the verbs.
        saver: where the thread is kept.
        thread: whose.
        config: may name a checkpoint.
        subgraphs: whether a nested workflow in which a question waits is shown, too.
    """
    try:
        place = await find_place(io, saver, thread, config)
    except NoSuchThread:
        return missing(dict(config))
    if place.run is None:
        return missing(dict(config))
    view = await view_of(io, saver, thread, place.run, {}, history=place.chosen and not place.is_latest)
    if place.at_end:
        return at_end(thread, view)
    return at_input(thread, view, nested(thread, place.run, questions_of(place.run)) if subgraphs else None)


async def get_history(
    io: RunnerIO,
    saver: Checkpointer,
    thread: ThreadKey,
    *,
    filter: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    limit: int | None = None,
) -> AsyncGenerator[StateSnapshot]:
    """Show the checkpoints of a thread, newest first, each read when it is asked for.

    Args:
        io: the verbs.
        saver: where the thread is kept.
        thread: whose.
        filter: only checkpoints whose metadata has all of this.
        before: the config of a checkpoint: only older ones.
        limit: at most so many.
    """
    run_id, at_end_of_it = run_of(str(((before or {}).get("configurable") or {}).get("checkpoint_id", "")))
    newest = await io.keep(saver, Load(thread, run_id)) if run_id else None
    if (before is not None and newest is None) or limit == 0:
        return
    given = 0
    near: dict[Path, Chain] = {}
    async for run in _runs(io, saver, thread, newest.number + 1 if newest else None):
        is_newest = newest is not None and run.id == newest.id
        for snapshot in await _checkpoints(io, saver, thread, run, near):
            if matches(snapshot, filter) and not (is_newest and not (at_end_of_it and snapshot.next)):
                yield snapshot
                given += 1
                if given == limit:
                    return


async def _runs(io: RunnerIO, saver: Checkpointer, thread: ThreadKey, before: int | None) -> AsyncGenerator[Run]:
    """Give the runs of a thread, newest first: a few, then more at a time, for most who ask want the newest."""
    most = _FIRST_RUNS
    while page := await io.keep(saver, ListRuns(thread, before, most)):
        for run in page:
            yield run
        if len(page) < most:
            return
        before, most = page[-1].number, _MORE_RUNS


async def _checkpoints(
    io: RunnerIO, saver: Checkpointer, thread: ThreadKey, run: Run, near: dict[Path, Chain]
) -> list[StateSnapshot]:
    view = await view_of(io, saver, thread, run, near, history=True)
    ends = [at_end(thread, view)] if run.status == "done" else []
    return [*ends, at_input(thread, view)] if run.has_input_checkpoint else ends


async def view_of(
    io: RunnerIO, saver: Checkpointer, thread: ThreadKey, run: Run, near: dict[Path, Chain], *, history: bool = False
) -> View:
    """Decode what a snapshot shows of a run.

    Args:
        io: the verbs.
        saver: where the thread is kept.
        thread: whose.
        run: as it is kept.
        near: long lists of a run close by; see saved.read.
        history: whether questions that were answered are shown, too.
    """
    previous = await io.keep(saver, Load(thread, run.previous)) if run.previous else None
    asked = questions_of(run)
    if history and run.has_input_checkpoint:
        asked = [*answered_questions(run, await io.keep(saver, LoadRecords(run.id, INTERRUPT))), *asked]
    value, left = await _values(io, saver, run, near)
    before, left_before = (None, None) if previous is None else await _values(io, saver, previous, near)
    metadata = as_metadata(decode(run.metadata)) if run.metadata else {}
    if run.status == "done" and run.error:
        metadata = {**metadata, "unheard_errors": run.error}
    return View(
        run=run, value=value, saved=left, before=before, saved_before=left_before,
        interrupts=tuple(question.interrupt for question in asked), metadata=metadata,
    )  # fmt: skip


async def _values(io: RunnerIO, saver: Checkpointer, run: Run, near: dict[Path, Chain]) -> tuple[Any, Any]:
    """Read back what a run returned, and what it saved for the next."""
    if run.value is None:
        return None, None
    value = (await saved.read(io, saver, run.value, near)).value
    return value, value if run.saved is None else (await saved.read(io, saver, run.saved, near)).value


async def update_state(
    io: RunnerIO, saver: Checkpointer, thread: ThreadKey, config: Mapping[str, Any], value: Any
) -> dict[str, Any]:
    """Set the value of a thread by hand, and return the config of the new checkpoint.

    Raises:
        ThreadBusy: a run holds the thread.
        NotRecordable: the value could not be read back.
    """
    metadata = encode(kept_config(config))
    evicts: list[str] = []
    for tried in range(_TRIES):
        place = await find_place(io, saver, thread, config)
        before = await previous_of(io, saver, thread, place, place.previous)
        left = saved.left(value, before.chains)
        now_s = time.time()
        run = planning.update(place, uuid.uuid4().hex, now_s, left.value, left.saved, metadata)
        try:
            await io.keep(saver, Keep(thread, run, place.head, now_s, evicts, left.pieces))
        except ThreadBusy as busy:
            if tried == _TRIES - 1 or not is_dead(busy.owner):
                raise
            evicts.append(busy.owner)
        except Conflict:
            if tried == _TRIES - 1:
                raise
        else:
            report_dropped(thread, place.head)
            return config_of(thread, end_checkpoint(run.id))
    raise AssertionError("the last try has raised")
