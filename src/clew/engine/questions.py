"""Questions that a workflow asks, and which answer belongs to which."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from clew.engine.unset import UNSET
from clew.errors import InvalidResume, Suspended, UsageError

_ID = r"[0-9a-f]{32}"


@dataclass(frozen=True, slots=True)
class Interrupt:
    """A question that waits for its answer.

    Args:
        value: what the workflow asked, as it was given to `interrupt`.
        id: 32 hexadecimal digits, the same whenever the same question is asked again.
    """

    value: Any
    id: str = "placeholder-id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Input that answers the questions of an interrupted thread.

    Args:
        resume: the answer to the only pending question (any value, `None` included), or a dict from ids of pending
            questions to their answers.
        update: not for functional workflows; refused.
        goto: not for functional workflows; refused.

    Raises:
        UsageError: no resume was given, or `update` or `goto` was.
    """

    resume: Any = UNSET
    update: Any = None
    goto: Any = ()

    def __post_init__(self) -> None:
        if self.update is not None or self.goto not in ((), None):
            raise UsageError(
                "Command(update=..., goto=...) means nothing to a workflow made of a function: "
                "return a value, or use update_state"
            )
        if self.resume is UNSET:
            raise UsageError("an empty Command() does nothing: give resume=..., or call the workflow with None")


class Question(Struct, frozen=True, kw_only=True):
    """A pending interrupt, as a run keeps it.

    Args:
        id: the id shown to people.
        key: key of the `interrupt` call within the run.
        value: what was asked.
        fingerprint: digest of what was asked.
        deadline_s: seconds since the epoch after which the default answers, or None.
        default: the answer that then applies.
        within: the nested workflows around it, outermost first, each as the key of its call and its name.
    """

    id: str
    key: str
    value: Any
    fingerprint: bytes
    deadline_s: float | None = None
    default: Any = None
    within: tuple[tuple[str, str], ...] = ()

    @property
    def interrupt(self) -> Interrupt:
        return Interrupt(self.value, self.id)


class Asked(Suspended):
    """Raised by `interrupt` when there is no answer yet."""

    def __init__(self, question: Question) -> None:
        self.question = question
        super().__init__(f"interrupted: {question.value!r}")


def answers(resume: Any, pending: Sequence[Question], answered: Iterable[str]) -> dict[str, Any]:
    """Say which pending question gets which answer.

    Args:
        resume: what `Command(resume=...)` was given.
        pending: the questions that wait.
        answered: ids of questions of this run that have an answer already.

    Returns:
        question id -> answer.

    Raises:
        InvalidResume: nothing waits; an id is unknown or was answered before; or one answer for several questions.
    """
    if not pending:
        raise InvalidResume(
            "nothing is waiting for an answer on this thread; "
            "call the workflow with None to go on with its last run, or with a new input"
        )
    if is_map(resume):
        return _by_id(resume, pending, set(answered))
    if len(pending) > 1:
        raise InvalidResume(
            f"{len(pending)} questions are pending; when there are several you must specify the interrupt id: "
            f"Command(resume={{id: answer, ...}}). Pending: {_named(pending)}"
        )
    return {pending[0].id: resume}


def is_map(resume: Any) -> bool:
    """Say whether an answer is a dict from ids of questions to their answers."""
    return (
        isinstance(resume, Mapping)
        and bool(resume)
        and all(isinstance(key, str) and re.fullmatch(_ID, key) for key in resume)
    )


def _by_id(resume: Mapping[str, Any], pending: Sequence[Question], answered: set[str]) -> dict[str, Any]:
    waiting = {question.id for question in pending}
    for id in resume:
        if id not in waiting:
            why = "was answered already" if id in answered else "is not known on this thread"
            raise InvalidResume(f"the interrupt id {id!r} {why}. Pending: {_named(pending)}")
    return dict(resume)


def _named(pending: Sequence[Question]) -> str:
    return ", ".join(f"{question.id} ({_short(question.value)})" for question in pending)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
