"""The questions of a run as they are kept: those that wait in one value, those that were answered as records."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from clew.codec.fingerprint import describe
from clew.codec.values import decode, encode
from clew.engine.identity import INTERRUPT, question_id
from clew.engine.questions import Question
from clew.engine.records import Record, Run, ThreadKey
from clew.errors import NotRecordable, UnreadableRecord
from clew.runner.logs import fields

log = logging.getLogger("clew.runs")


def questions_of(run: Run) -> list[Question]:
    """Return the questions of a run that wait."""
    try:
        return [Question(**question) for question in decode(run.questions)] if run.questions else []
    except TypeError as error:
        raise UnreadableRecord(f"the questions of run {run.id} are damaged: {error}") from error


def encode_questions(questions: Sequence[Question]) -> bytes:
    """Encode the questions of a run that wait."""
    return encode(
        [
            {
                "id": question.id,
                "key": question.key,
                "value": question.value,
                "fingerprint": question.fingerprint,
                "deadline_s": question.deadline_s,
                "default": question.default,
                "within": question.within,
            }
            for question in questions
        ]
    )


def answered_questions(run: Run, records: Sequence[Record]) -> list[Question]:
    """Return the questions of a run that were answered."""
    return [
        Question(
            id=question_id(run.id, record.key),
            key=record.key,
            value=_what_was_asked(record),
            fingerprint=record.fingerprint,
        )
        for record in records
        if record.name == INTERRUPT
    ]


def _what_was_asked(record: Record) -> Any:
    kept = decode(record.outcome)
    if type(kept) is not dict or "value" not in kept:
        raise UnreadableRecord(f"the answered question {record.key!r} is damaged")
    return kept["value"]


def answer_record(question: Question, answer: Any, now_s: float) -> Record:
    """Return the record of an answer.

    Raises:
        NotRecordable: it could not be read back.
    """
    return Record(
        key=question.key, name=INTERRUPT, fingerprint=question.fingerprint, arguments=describe((question.value,), {}),
        state="value", outcome=_encoded_answer(question, answer), attempts=1, started_s=now_s,
        ended_s=now_s,
    )  # fmt: skip


def _encoded_answer(question: Question, answer: Any) -> bytes:
    try:
        encoded = encode({"value": question.value, "answer": answer})
    except NotRecordable:
        encode(answer, "the answer")  # raises as well, and names the place within the answer
        raise
    return encoded


def report_dropped(thread: ThreadKey, head: Run | None) -> None:
    """Say what the thread goes on without: answers to questions, or the rest of a run whose process died."""
    dropped = questions_of(head) if head is not None else []
    if dropped:
        shown = ", ".join(f"{question.id} ({question.value!r})" for question in dropped)
        log.warning("thread %r of workflow %r goes on without an answer to %s", *thread, shown, extra=fields(thread))
    if head is not None and head.has_crashed:
        text = (
            "thread %r of workflow %r goes on without the rest of run %s, whose process died: a new input gives it up"
        )
        log.warning(text, *thread, head.id, extra=fields(thread, head.id))
