"""What the log says of runs, and the fields by which its lines are found.

Every line about a run has the fields workflow, thread_id and run_id beside its text; one about a task also task and,
where it is about one, attempt.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

from clew.engine.activities import WatchedRun
from clew.engine.records import Run, ThreadKey
from clew.errors import RunStopped, Suspended

log = logging.getLogger("clew.runs")


def fields(thread: ThreadKey | None, run_id: str | None = None, **more: Any) -> dict[str, Any]:
    """Return the fields of a line, for `extra=`."""
    named = {} if thread is None else {"workflow": thread.workflow, "thread_id": thread.thread_id}
    return {**named, **({} if run_id is None else {"run_id": run_id}), **more}


@contextmanager
def logged(thread: ThreadKey, run: Run, seen: WatchedRun, *, is_unattended: bool) -> Generator[None]:
    """Log how a run begins or goes on, and what it comes to.

    Args:
        thread: its thread.
        run: as it is taken up.
        seen: holds what it came to, at the end.
        is_unattended: whether nobody is there to hear of a failure, which then is an error; else its caller tells it.
    """
    say = partial(_say, thread, run.id)
    say(logging.INFO, _beginning(run))
    try:
        yield
    except (RunStopped, Suspended) as stop:
        say(logging.INFO, f"has stopped: {stop}")
        raise
    except BaseException as error:
        say(logging.ERROR if is_unattended else logging.INFO, f"failed: {error!r}")
        raise
    if seen.interrupts:
        say(logging.INFO, f"waits for answers to {len(seen.interrupts)} question(s)")
    else:
        say(logging.INFO, "has stopped" if seen.has_stopped else "is done")


def _beginning(run: Run) -> str:
    if run.attempts == 1:
        return "begins"
    return f"goes on after {run.crashes} crash(es)" if run.crashes else "goes on"


def _say(thread: ThreadKey, run_id: str, level: int, what: str) -> None:
    text = "run %s of workflow %r on thread %r %s"
    log.log(level, text, run_id, thread.workflow, thread.thread_id, what, extra=fields(thread, run_id))
