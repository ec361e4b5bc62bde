"""`clew worker`: carries out runs until it is told to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any

import typer

from clew import Checkpointer, Limit, Worker, Workflow
from clew.cli import logs
from clew.cli.databases import kept_url, open_database
from clew.cli.screen import Screen, errors_shown
from clew.cli.targets import find_workflows
from clew.errors import UsageError

log = logging.getLogger("clew.workers")

_PERIODS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


def worker(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="TARGET...", help="MODULE:NAME or FILE:NAME of a workflow, or a list or dict of some."),
    ],
    database: Annotated[
        str | None,
        typer.Option("--database", "--db", help="Such as sqlite:///app.db; the workflows' own if not given."),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="How many runs side by side.")] = 8,
    poll: Annotated[float, typer.Option(help="How often to look for work, in seconds.")] = 0.25,
    max_crashes: Annotated[
        int, typer.Option(min=1, help="A run whose process died so many times in a row is set aside.")
    ] = 3,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=2: at most 2 runs of a workflow at once; NAME=100/m: at most 100 a minute; of all workers."
        ),
    ] = None,
) -> None:
    """Carry out runs: those whose process died, questions whose time is over, and submitted calls.

    Start as many as you like on the same database. The first SIGTERM or Ctrl-C lets running tasks finish and hands
    the rest over to other workers; a second one ends at once, and loses nothing either. The exit code is 0 after the
    first, and 128 plus the number of the signal after the second.
    """
    with errors_shown(Screen()), contextlib.ExitStack() as stack:
        logs.show_progress()
        workflows = [workflow for target in targets for workflow in find_workflows(target)]
        kept = _own_database(workflows) if database is None else stack.enter_context(open_database(kept_url(database)))
        runs = Worker(
            kept, workflows, concurrency=concurrency, poll_s=poll, max_crashes=max_crashes, limits=_limits(limit or [])
        )  # fmt: skip
        _listen(runs)
        names = ", ".join(workflow.name for workflow in workflows)
        log.info("worker %d carries out %s", os.getpid(), names)
        runs.run()
        log.info("worker %d has stopped", os.getpid())


def _own_database(workflows: Sequence[Workflow[Any, Any]]) -> Checkpointer:
    for workflow in workflows:
        if workflow.checkpointer is not None:
            return workflow.checkpointer
    raise UsageError("none of these workflows has a database of its own; name one by --database")


def _listen(runs: Worker) -> None:
    """Stop at the first signal, and end at once at the second."""
    stopping = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            os._exit(128 + number)  # nothing is lost: whoever comes next goes on with what is recorded
        stopping = True
        runs.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hear)


def _limits(given: Sequence[str]) -> dict[str, Limit]:
    limits: dict[str, Limit] = {}
    for text in given:
        found = re.fullmatch(r"(.+)=(\d+)(?:/([smh]))?", text)
        if found is None:
            raise UsageError(f"--limit {text!r} is not understood; write NAME=2 or NAME=100/m (s, m or h)")
        name, number, period = found[1], int(found[2]), found[3]
        before = limits.get(name, Limit())
        if period is None:
            limits[name] = Limit(concurrency=number, rate=before.rate, per_s=before.per_s)
        else:
            limits[name] = Limit(concurrency=before.concurrency, rate=number, per_s=_PERIODS_S[period])
    return limits
