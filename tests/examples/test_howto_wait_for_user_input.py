"""The booking that asks people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clew import Command

ON_1: dict[str, Any] = {"configurable": {"thread_id": "1"}}


def question(result: Any) -> str:
    [asked] = result["__interrupt__"]
    return str(asked.value)


def test_the_whole_conversation(example: Any, open_database: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(text: str) -> Any:
        """Answer in what could be a new process."""
        return example("wait_for_user_input").build(open_database()).invoke(Command(resume=text), ON_1)

    book = example("wait_for_user_input").build(open_database())
    assert question(book.invoke("Friday", ON_1)) == "How many guests?"
    assert question(answer("many")) == "'many' is not a number from 1 to 8. How many guests?"
    assert question(answer("3")) == "Book the table in the corner for 3? (yes or no)"
    assert question(answer("no")) == "Book the table in the garden for 3? (yes or no)"
    assert answer("yes") == "Booked: the table in the garden for 3, on Friday."
    assert capsys.readouterr().out.count("looking for free tables") == 1


def test_calling_it_again_asks_the_same_question(example: Any, open_database: Any) -> None:
    book = example("wait_for_user_input").build(open_database())
    asked = book.invoke("Friday", ON_1)
    assert book.invoke(None, ON_1) == asked


def test_it_runs_as_a_program_that_may_be_stopped_at_a_question(play: Callable[..., Any]) -> None:
    first = play("wait_for_user_input", typed="Friday\n8\n")
    assert "Book the table in the garden for 8?" in first.stdout, first.stderr
    second = play("wait_for_user_input", typed="yes\n")
    assert "Booked: the table in the garden for 8, on Friday." in second.stdout, second.stderr
    assert "looking for free tables" in first.stdout
    assert "looking for free tables" not in second.stdout
