"""What a call of a workflow means on a thread: a new run, the same run continued, a fork, or nothing to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from clew.engine.identity import INTERRUPT, question_id
from clew.engine.questions import Question, answers, is_map
from clew.engine.records import Record, Run, end_checkpoint, input_checkpoint
from clew.errors import InvalidResume, NoSuchThread, RecordedFailure, RunStopped


class Place(Struct, frozen=True, kw_only=True):
    """Where on a thread a call begins.

    Args:
        head: the newest run, or None on a fresh thread.
        run: the run of the chosen checkpoint; the newest where none was chosen.
        at_end: whether the checkpoint is the end of that run.
        chosen: whether the caller named a checkpoint.
    """

    head: Run | None
    run: Run | None
    at_end: bool
    chosen: bool

    @property
    def is_latest(self) -> bool:
        """Whether the thread can simply go on from here."""
        if self.head is None or self.run is None:
            return self.run is self.head
        return self.run.id == self.head.id and self.at_end == (self.head.status == "done")

    @property
    def checkpoint(self) -> str | None:
        if self.run is None:
            return None
        return end_checkpoint(self.run.id) if self.at_end else input_checkpoint(self.run.id)

    @property
    def step(self) -> int:
        if self.run is None:
            return -2
        return self.run.end_step if self.at_end else self.run.step

    @property
    def previous(self) -> str | None:
        """Id of the run whose saved value holds here."""
        if self.run is None:
            return None
        return self.run.id if self.at_end else self.run.previous


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be done.

    Args:
        act: "begin" a new run, "continue" a kept one, "fork" (begin a copy), or "return" a kept value.
        run: the run as it is to be kept from now on; with "return" the run whose value it is.
        answers: the questions that are answered now, each with its answer.
        records: the journal to go on with.
    """

    act: Literal["begin", "continue", "fork", "return"]
    run: Run
    answers: Sequence[tuple[Question, Any]] = ()
    records: Sequence[Record] = ()


def new_run(place: Place, id: str, now_s: float, input: bytes, metadata: bytes) -> Plan:
    """Plan a run with an input of its own."""
    run = Run(
        id=id, number=_next_number(place), source="input", parent=place.checkpoint, previous=place.previous,
        step=place.step + 1, status="running", input=input, metadata=metadata, created_s=now_s,
    )  # fmt: skip
    return Plan(act="begin", run=run)


def go_on(place: Place, id: str, now_s: float, asked: Sequence[Question], records: Sequence[Record]) -> Plan:
    """Plan what a call without input means.

    Args:
        place: where on the thread.
        id: for the run, if a new one is begun.
        now_s: the clock.
        asked: the questions that wait at that place.
        records: the journal of the run at that place.

    Raises:
        NoSuchThread: nothing was kept there.
    """
    run = place.run
    if run is None:
        raise NoSuchThread("the workflow received no input, and there is nothing on this thread to continue")
    if place.at_end:
        return Plan(act="fork", run=_copy_of_end(place, id, now_s)) if place.chosen else Plan(act="return", run=run)
    if place.is_latest:
        return Plan(act="continue", run=_taken_up(run), answers=_overdue(asked, now_s), records=records)
    return Plan(act="fork", run=_copy_of_input(place, id, now_s))


def again(place: Place, run: Run, now_s: float, asked: Sequence[Question]) -> Plan:
    """Plan what a call means that names a run which was begun before: it is not run twice.

    Args:
        place: where on the thread.
        run: the run.
        now_s: the clock.
        asked: its questions that wait.

    Raises:
        RecordedFailure: it failed, and newer runs have begun since.
        RunStopped: it ended without a value in another way, and newer runs have begun since.
    """
    overdue = _overdue(asked, now_s)
    if run.status == "done" or (asked and not overdue):
        return Plan(act="return", run=run)
    if place.head is not None and place.head.id == run.id:
        return Plan(act="continue", run=_taken_up(run), answers=overdue)
    behind = f"run {run.id} of this run_key {{}}, and newer runs have begun on its thread since"
    if run.status == "failed":
        name, _, text = (run.error or "").partition("(")
        raise RecordedFailure(name or "clew", f"{text.removesuffix(')')}; {behind.format('failed')}")
    raise RunStopped(behind.format("crashed" if run.status == "running" else f"was {run.status}"), run.id)


def resume(
    place: Place, id: str, now_s: float, answer: Any, asked: Sequence[Question], records: Sequence[Record]
) -> Plan:
    """Plan what an answer means.

    Args:
        place: where on the thread.
        id: for the run, if a new one is begun.
        now_s: the clock.
        answer: what `Command(resume=...)` was given.
        asked: the questions that can be answered there: those that wait; in the past, all that were asked.
        records: the journal of the run at that place.

    Raises:
        InvalidResume: nothing waits there for such an answer.
    """
    run = place.run
    if run is None or place.at_end:
        why = "its last run is finished" if run else "it never ran"
        raise InvalidResume(
            f"nothing is waiting for an answer on this thread: {why}. Call the workflow with a new input"
        )
    answered = [question_id(run.id, record.key) for record in records if record.name == INTERRUPT]
    if not place.is_latest and not is_map(answer):
        asked = asked[:1]  # those after it were asked because of its answer
    given = answers(answer, asked, answered if place.is_latest else ())
    pairs = [(question, given[question.id]) for question in asked if question.id in given]
    if place.is_latest:
        late = [pair for pair in _overdue(asked, now_s) if pair[0].id not in given]
        return Plan(act="continue", run=_taken_up(run), answers=[*late, *pairs], records=records)
    keys = {question.key for question, _ in pairs}
    first = next((place for place, record in enumerate(records) if record.key in keys), len(records))
    return Plan(act="fork", run=_copy_of_input(place, id, now_s), answers=pairs, records=records[:first])


def update(place: Place, id: str, now_s: float, value: bytes, saved: bytes | None, metadata: bytes) -> Run:
    """Return the run that stands for a value set by hand."""
    return Run(
        id=id, number=_next_number(place), source="update", parent=place.checkpoint, previous=place.previous,
        step=max(place.step + 1, 0), status="done", input=None, value=value, saved=saved, metadata=metadata,
        created_s=now_s, ended_s=now_s,
    )  # fmt: skip


def _overdue(asked: Sequence[Question], now_s: float) -> list[tuple[Question, Any]]:
    """Answer the questions whose time is over with their defaults."""
    return [
        (question, question.default)
        for question in asked
        if question.deadline_s is not None and question.deadline_s <= now_s
    ]


def _next_number(place: Place) -> int:
    return place.head.number + 1 if place.head else 0


def _taken_up(run: Run) -> Run:
    return replace(
        run, status="running", questions=b"", error=None, ended_s=None, attempts=run.attempts + 1,
        crashes=run.crashes + 1 if run.has_crashed else 0,
    )  # fmt: skip


def _copy_of_input(place: Place, id: str, now_s: float) -> Run:
    run = place.run
    assert run is not None
    return replace(
        run, id=id, number=_next_number(place), parent=place.checkpoint, step=place.step + 1, status="running",
        value=None, saved=None, error=None, questions=b"", created_s=now_s, ended_s=None, attempts=1, crashes=0,
    )  # fmt: skip


def _copy_of_end(place: Place, id: str, now_s: float) -> Run:
    run = place.run
    assert run is not None
    return replace(
        run, id=id, number=_next_number(place), source="fork", parent=place.checkpoint, step=place.step + 1,
        previous=run.id, created_s=now_s, ended_s=now_s, attempts=1,
    )  # fmt: skip
