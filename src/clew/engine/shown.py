"""Threads, runs and calls as people see them who do not have the code: plain data, in the shape of JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownQuestion:
    """A question that waits.

    Args:
        id: names it when it is answered.
        value: what was asked.
        deadline_at: when its default answers, or None.
        default: the answer that then applies.
    """

    id: str
    value: Any
    deadline_at: datetime | None
    default: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownThread:
    """A thread, by its newest run.

    Args:
        thread_id: its id.
        workflow: whose.
        run_id: its newest run, or None where only submitted calls wait.
        status: how that run stands: running, done, failed, interrupted, cancelled; "crashed" where its process died;
            "queued" where there is no run.
        changed_at: when that run began or ended, or the first call was submitted.
        questions: that wait.
        queued: how many calls wait for their turn.
    """

    thread_id: str
    workflow: str
    run_id: str | None
    status: str
    changed_at: datetime
    questions: tuple[ShownQuestion, ...]
    queued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRun:
    """A run.

    Args:
        id: its id.
        number: its place on the thread, from 0.
        source: "input", "update" for a value set by hand, or "fork".
        status: see ShownThread.
        created_at: when it began.
        ended_at: when it ended, or None.
        attempts: how often it was begun or continued.
        parent: the checkpoint it started from, or None.
        checkpoints: those it has, newest first: forks start from them.
        input: its input, or None.
        error: of a run that failed, or None.
        questions: that wait.
        metadata: what was kept of its caller's config.
    """

    id: str
    number: int
    source: str
    status: str
    created_at: datetime
    ended_at: datetime | None
    attempts: int
    parent: str | None
    checkpoints: tuple[str, ...]
    input: Any
    error: str | None
    questions: tuple[ShownQuestion, ...]
    metadata: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCall:
    """A call of a run.

    Args:
        key: its name within the run.
        name: of the task or workflow; one of clew's own kinds of call begins with a colon, such as ":sleep".
        arguments: a short text of them.
        state: "value"; "failure"; "reopened" for a failure that is tried again when the run is continued; "waiting"
            for a question; or "open" where there is no outcome yet.
        value: what it came to: the value, what was answered, or None.
        error: class and text of what it raised, or None.
        traceback: of that, as text.
        attempts: how many tries it took.
        started_at: when the first one began, or None.
        ended_at: when the last one ended, or None.
        question: what waits, or None.
        calls: made inside it.
    """

    key: str
    name: str
    arguments: str
    state: str
    value: Any
    error: str | None
    traceback: str | None
    attempts: int
    started_at: datetime | None
    ended_at: datetime | None
    question: ShownQuestion | None
    calls: tuple[ShownCall, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTree:
    """A run with its calls.

    Args:
        thread_id: its thread.
        workflow: whose.
        run: the run.
        value: what it returned, or None.
        saved: what the next run gets as `previous`, or None.
        traceback: of what it raised, where that was kept.
        calls: those that its body made.
    """

    thread_id: str
    workflow: str
    run: ShownRun
    value: Any
    saved: Any
    traceback: str | None
    calls: tuple[ShownCall, ...]
