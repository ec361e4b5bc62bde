"""Runs and calls as text: one line each, and a tree of them. It knows neither databases nor commands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from clew.cli.screen import Branch
from clew.looking import ShownCall, ShownQuestion, ShownRun, ShownThread, ShownTree

THREAD_COLUMNS = ["thread", "workflow", "status", "changed", "waits"]
RUN_COLUMNS = ["run", "status", "began", "took", "attempts", "input"]
_MOST_CHARACTERS = 120
_TYPE = "$type"


def thread_row(thread: ShownThread) -> list[str]:
    """Give a thread's cells below THREAD_COLUMNS."""
    waits = [_count(len(thread.questions), "question")] if thread.questions else []
    waits += [_count(thread.queued, "call")] if thread.queued else []
    return [thread.thread_id, thread.workflow, thread.status, _time(thread.changed_at), ", ".join(waits)]


def run_row(run: ShownRun) -> list[str]:
    """Give a run's cells below RUN_COLUMNS."""
    given = run.source if run.input is None else short(run.input)
    return [
        run.id, run.status, _time(run.created_at), _length(run.created_at, run.ended_at), str(run.attempts), given,
    ]  # fmt: skip


def tree_of(tree: ShownTree) -> Branch:
    """Give a run with its calls."""
    run = tree.run
    head = f"run {run.id} of thread {tree.thread_id} of {tree.workflow}: {run.status}, {_when(run)}"
    return head, [*_about(tree), *map(_call, tree.calls), *map(_question, _unplaced(tree))]


def short(value: Any, most: int = _MOST_CHARACTERS) -> str:
    """Write a value in one line of at most so many characters."""
    return _cut(_text(value), most)


def _about(tree: ShownTree) -> Iterator[Branch]:
    run = tree.run
    if run.parent is not None:
        yield f"from {run.parent}", ()
    if run.input is not None:
        yield f"input {short(run.input)}", ()
    if run.error is not None:
        yield f"error {_cut(run.error)}", [(line, ()) for line in (tree.traceback or "").splitlines()]
    if run.status == "done":
        yield f"value {short(tree.value)}", ()
        if tree.saved != tree.value:
            yield f"saved {short(tree.saved)}", ()
    for checkpoint in run.checkpoints:
        yield f"checkpoint {checkpoint}", ()


def _call(call: ShownCall) -> Branch:
    if call.question is not None and not call.calls:
        return _question(call.question)
    began = (
        "" if call.started_at is None else f"  [{_time(call.started_at)}, {_length(call.started_at, call.ended_at)}]"
    )
    attempts = f", {call.attempts} attempts" if call.attempts > 1 else ""
    return f"{_key(call)}({call.arguments}){_outcome(call)}{attempts}{began}", list(map(_call, call.calls))


def _key(call: ShownCall) -> str:
    """Return the last part of a key: what comes before it is the path in the tree."""
    return call.key.rpartition("/")[2]


def _outcome(call: ShownCall) -> str:
    if call.state == "value":
        return f" = {short(call.value)}"
    if call.state == "open":
        return ": not finished"
    tried = ", is tried again when the run is continued" if call.state == "reopened" else ""
    return f" raised {_cut(call.error or '')}{tried}"


def _question(question: ShownQuestion) -> Branch:
    until = (
        ""
        if question.deadline_at is None
        else f", answered with {short(question.default)} at {_time(question.deadline_at)}"
    )
    return f"waits for an answer to {short(question.value)}, question {question.id}{until}", ()


def _unplaced(tree: ShownTree) -> list[ShownQuestion]:
    """Return the questions that no call shows."""
    return [] if any(True for _ in _questions(tree.calls)) else list(tree.run.questions)


def _questions(calls: Sequence[ShownCall]) -> Iterator[ShownQuestion]:
    for call in calls:
        if call.question is not None:
            yield call.question
        yield from _questions(call.calls)


def _when(run: ShownRun) -> str:
    attempts = f", {run.attempts} attempts" if run.attempts > 1 else ""
    return f"{_time(run.created_at)}, {_length(run.created_at, run.ended_at)}{attempts}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _length(began: datetime, ended: datetime | None) -> str:
    if ended is None:
        return "no end"
    seconds = (ended - began).total_seconds()
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _cut(text: str, most: int = _MOST_CHARACTERS) -> str:
    text = " ".join(text.splitlines())
    return text if len(text) <= most else text[: most - 1] + "…"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _text(value: Any) -> str:
    """Write plain data like Python's own, and what has a class like a call of the class."""
    if isinstance(value, dict):
        if _TYPE in value:
            fields = ", ".join(f"{name}={_text(item)}" for name, item in value.items() if name != _TYPE)
            return f"{value[_TYPE]}({fields})"
        return (
            "{"
            + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {_text(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
