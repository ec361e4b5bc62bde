"""Lets one observer of this process know what goes on. Where there is none, a look at one variable is all it costs.

What goes wrong in the observer is logged, and changes nothing for what it watches.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, TypeVar

from clew.engine.activities import Activity, Observer, WatchedAttempt, WatchedCall
from clew.engine.final import final
from clew.runner.frame import Call, Frame
from clew.runner.io import RunnerIO

log = logging.getLogger("clew.observing")

CarryOut = Callable[..., Awaitable[tuple[Any, Frame]]]
ActivityT = TypeVar("ActivityT", bound=Activity)

observer: Observer | None = None


def observe(by: Observer | None) -> None:
    """Let an observer know what goes on from now on, in place of the one before; None: nobody."""
    global observer
    observer = by


class watched(Generic[ActivityT]):
    """Watch an activity for the length of a block: `with watched(ModelCall(...)) as call: ...`.

    Whoever traces this process (see `clew.integrations.opentelemetry`) is told; where nobody does, nothing happens.

    Args:
        activity: what begins; fill in what comes of it before the block ends.
    """

    __slots__ = ("_activity", "_begun", "_observer")

    def __init__(self, activity: ActivityT) -> None:
        self._activity = activity
        self._observer = observer
        self._begun: Any = None

    def __enter__(self) -> ActivityT:
        if self._observer is not None:
            try:
                self._begun = self._observer.begun(self._activity)
            except Exception:
                self._observer = None
                log.exception("the observer failed at the beginning of %s", type(self._activity).__name__)
        return self._activity

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._observer is not None:
            try:
                self._observer.ended(self._activity, self._begun, error)
            except Exception:
                log.exception("the observer failed at the end of %s", type(self._activity).__name__)


async def watched_call(
    carry_out: CarryOut, io: RunnerIO, call: Call, first_s: float, **hooks: Any
) -> tuple[Any, Frame]:
    """Carry out a call as a procedure does, and let the observer know."""
    lease = call.execution.lease
    activity = WatchedCall(
        name=call.callee.name, is_workflow=call.is_workflow, key=call.key, id=call.id, run_id=call.execution.run_id,
        thread_id=None if lease is None else lease.thread.thread_id, args=call.args, kwargs=call.kwargs,
    )  # fmt: skip
    with watched(activity) as seen:
        try:
            value, frame = await carry_out(io, call, first_s, **hooks)
        finally:
            seen.attempts = call.attempts
        seen.value = value.value if isinstance(value, final) else value
        seen.is_cached = frame.is_cached
        return value, frame


async def watched_attempt(io: RunnerIO, frame: Frame) -> Any:
    """Run the function of a frame, and let the observer know."""
    with watched(WatchedAttempt(name=frame.call.callee.name, number=frame.attempt)):
        return await io.call(frame)
