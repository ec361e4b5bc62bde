"""What the log says of runs, and the fields by which its lines are found.

Every line about a run has the fields workflow, thread_id and run_id beside its text; one about a task also task and,
where it is about one, attempt.
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

from clew.engine.activities import WatchedRun
from clew.engine.records import Run, ThreadKey
from clew.errors import RunStopped, Suspended

log = logging.getLogger("clew.runs")


def fields(thread: ThreadKey | None, run_id: str | None = None, **more: Any) -> dict[str, Any]:
    """Return the fields of a line, for `extra=`."""
    named = {} if thread is None else {"workflow": thread.workflow, "thread_id": thread.thread_id}
    return {**named, **({} if run_id is None else {"run_id": run_id}), **more}


class logged:
    """Log how a run begins or goes on, and what it comes to at the end of a block.

    Args:
        thread: its thread.
        run: as it is taken up.
        seen: holds what it came to, at the end.
        is_unattended: whether nobody is there to hear of a failure, which then is an error; else its caller tells it.
    """

    __slots__ = ("_is_unattended", "_run", "_seen", "_thread")

    def __init__(self, thread: ThreadKey, run: Run, seen: WatchedRun, *, is_unattended: bool) -> None:
        self._thread = thread
        self._run = run
        self._seen = seen
        self._is_unattended = is_unattended

    def __enter__(self) -> None:
        self._say(logging.INFO, _beginning(self._run))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, RunStopped | Suspended):
            self._say(logging.INFO, f"has stopped: {error}")
        elif error is not None:
            self._say(logging.ERROR if self._is_unattended else logging.INFO, f"failed: {error!r}")
        elif self._seen.interrupts:
            self._say(logging.INFO, f"waits for answers to {len(self._seen.interrupts)} question(s)")
        else:
            self._say(logging.INFO, "has stopped" if self._seen.has_stopped else "is done")

    def _say(self, level: int, what: str) -> None:
        run_id, thread = self._run.id, self._thread
        text = "run %s of workflow %r on thread %r %s"
        log.log(level, text, run_id, thread.workflow, thread.thread_id, what, extra=fields(thread, run_id))


def _beginning(run: Run) -> str:
    if run.attempts == 1:
        return "begins"
    return f"goes on after {run.crashes} crash(es)" if run.crashes else "goes on"
