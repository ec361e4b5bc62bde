"""Workflows called inside a run: a call like that of a task, with a scope of its own.

Those that remember read what they left on a thread of their own, and leave something there. Where they ask for it, the
calls of this process for one thread follow one another; what another run leaves there meanwhile is a Conflict, and
never written over.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from clew.codec.values import encode
from clew.engine.records import Run, ThreadKey
from clew.engine.state import kept_config
from clew.errors import ThreadBusy
from clew.runner import saved
from clew.runner.asking import report_dropped
from clew.runner.frame import Call
from clew.runner.io import RunnerIO
from clew.runner.leases import this_process
from clew.runner.taking import find_place, previous_of
from clew.runner.turns import Turn, turns
from clew.storage.base import Checkpointer, Keep

_WAIT_S = 60.0  # as for outermost runs by default
_LOOK_EVERY_S = 1.0  # whether the run was stopped meanwhile


async def remember(io: RunnerIO, call: Call) -> Turn | None:
    """Let a nested workflow see what it left on its own thread, once those before it on that thread are done.

    Returns:
        Its turn, to be left when the call has ended; or None if there is none to wait for.

    Raises:
        ThreadBusy: the others took too long.
    """
    scope, saver = call.scope, call.execution.saver
    if not call.is_workflow or scope.remembers_on is None or saver is None:
        return None
    turn = None
    if _waits(call):
        turn = await _turn(io, call, saver, scope.remembers_on)
    elif _asks_for_previous(call):
        call.execution.unordered.add(scope.remembers_on)
    try:
        place = await find_place(io, saver, scope.remembers_on, {})
        if place.previous is not None:
            previous = await previous_of(io, saver, scope.remembers_on, place, place.previous)
            scope.previous, scope.grows_from = previous.value, previous.chains
        scope.head, scope.given = place.head, place.previous
    except BaseException:
        if turn is not None:
            turn.leave()
        raise
    return turn


def _waits(call: Call) -> bool:
    """Say whether a call has to follow others, and can: nobody who may wait for it has a turn, or lacks a place."""
    if call.execution.places is not None or not _asks_for_previous(call):
        return False
    above = call.parent
    while above is not None:
        outer = above.call
        if outer.is_workflow and outer.scope.remembers_on is not None and _asks_for_previous(outer):
            return False
        above = outer.parent
    return True


def _asks_for_previous(call: Call) -> bool:
    return any(name == "previous" for name, _, _ in call.callee.injected)


async def _turn(io: RunnerIO, call: Call, saver: Checkpointer, thread: ThreadKey) -> Turn:
    turn = turns.turn(("nested", saver.database.identity), thread, call.execution)
    until_s = time.monotonic() + _WAIT_S
    try:
        turn.join()
        while not await io.wait_for(turn, _LOOK_EVERY_S):
            call.execution.check_stopped()
            if time.monotonic() > until_s:
                raise ThreadBusy(
                    f"other calls of workflow {thread.workflow!r} inside runs of this process had thread "
                    f"{thread.thread_id!r} for {_WAIT_S:g} s; give calls that need not wait for each other threads of "
                    "their own",
                    this_process(),
                )
    except BaseException:
        turn.leave()
        raise
    return turn


def left_by(call: Call, value: Any) -> list[Keep]:
    """Return what keeps the finished run that a nested workflow which remembers leaves on a thread of its own.

    Args:
        call: of the nested workflow.
        value: what its function returned.
    """
    thread = call.scope.remembers_on if call.is_workflow else None
    if thread is None or call.execution.saver is None:
        return []
    left = saved.left(value, call.scope.grows_from)
    now_s = time.time()
    run = Run(
        id=uuid.uuid4().hex, number=0, source="update", parent=None, previous=call.scope.given, step=-1,
        status="done", input=None, value=left.value, saved=left.saved,
        metadata=encode(kept_config(call.scope.config)), created_s=now_s, ended_s=now_s,
    )  # fmt: skip
    report_dropped(thread, call.scope.head)
    regardless = not _asks_for_previous(call) or thread in call.execution.unordered
    return [Keep(thread=thread, run=run, head=call.scope.head, now_s=now_s, pieces=left.pieces, regardless=regardless)]
