"""The agent whose tools run only after a person has looked at them, with Anthropic's SDK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clew import Command
from support.provider import Provider
from support.provider_protocols import Answer, Use

ON_1: dict[str, Any] = {"configurable": {"thread_id": "1"}}
TO_ANN = Use(tool="send_email", arguments={"to": "ann", "text": "Hi"}, id="use_1")
TO_BEN = Use(tool="send_email", arguments={"to": "ben", "text": "Hi"}, id="use_2")


@pytest.fixture
def outbox() -> list[Any]:
    return []


@pytest.fixture
def assist(example: Any, anthropic: Any, open_database: Any, outbox: list[Any]) -> Any:
    return example("review_tool_calls").build(anthropic, open_database(), outbox)


def results_told(provider: Provider) -> list[str]:
    """Return the results of tools that the model was told last."""
    return [block["content"] for block in provider.requests[-1]["messages"][-1]["content"]]


def test_a_tool_runs_only_once_it_was_allowed(assist: Any, provider: Provider, outbox: list[Any]) -> None:
    provider.will(Answer(text="I will write.", uses=(TO_ANN,)), "Done.")
    [question] = assist.invoke("Write to Ann", ON_1)["__interrupt__"]
    assert question.value == {"tool": "send_email", "arguments": {"to": "ann", "text": "Hi"}}
    assert outbox == []

    assert assist.invoke(Command(resume={"action": "run"}), ON_1) == "Done."
    assert outbox == [{"to": "ann", "text": "Hi"}]
    assert results_told(provider) == ["sent to ann"]


def test_all_uses_are_shown_at_once_and_decided_together(assist: Any, provider: Provider, outbox: list[Any]) -> None:
    provider.will(Answer(uses=(TO_ANN, TO_BEN)), "One of the two.")
    asked = assist.invoke("Write to both", ON_1)["__interrupt__"]
    ids = {question.value["arguments"]["to"]: question.id for question in asked}
    decisions = {
        ids["ann"]: {"action": "refuse", "why": "Ann is on holiday"},
        ids["ben"]: {"action": "change", "arguments": {"to": "ben", "text": "Hello"}},
    }

    assert assist.invoke(Command(resume=decisions), ON_1) == "One of the two."
    assert outbox == [{"to": "ben", "text": "Hello"}]
    assert results_told(provider) == ["The user refused: Ann is on holiday", "sent to ben"]
    said_by_model = provider.requests[-1]["messages"][1]["content"]
    assert [use["input"]["text"] for use in said_by_model] == ["Hi", "Hello"]  # as it was run


def test_one_decision_at_a_time_leaves_the_other_open(assist: Any, provider: Provider, outbox: list[Any]) -> None:
    provider.will(Answer(uses=(TO_ANN, TO_BEN)), "Both.")
    first, second = assist.invoke("Write to both", ON_1)["__interrupt__"]
    [still] = assist.invoke(Command(resume={second.id: {"action": "run"}}), ON_1)["__interrupt__"]
    assert still == first
    assert assist.invoke(Command(resume={"action": "run"}), ON_1) == "Both."
    assert [mail["to"] for mail in outbox] == ["ann", "ben"]


def test_the_next_request_follows_the_reviewed_conversation(assist: Any, provider: Provider, outbox: list[Any]) -> None:
    provider.will(Answer(uses=(TO_ANN,)), "Done.", "To Ann.")
    assist.invoke("Write to Ann", ON_1)
    assist.invoke(Command(resume={"action": "run"}), ON_1)
    assert assist.invoke("To whom did you write?", ON_1) == "To Ann."
    assert [message["role"] for message in provider.requests[-1]["messages"]] == ["user", "assistant"] * 2 + ["user"]


def test_it_runs_as_a_program(play: Callable[..., Any], provider: Provider) -> None:
    provider.will(Answer(uses=(TO_ANN, TO_BEN)), "Done.")
    typed = 'Write to both\n{"to": "ann", "text": "Hello"}\nBen has left\n'
    ended = play("review_tool_calls", typed=typed, environment=provider.environment())
    assert "Done." in ended.stdout, ended.stderr
    assert results_told(provider) == ["sent to ann", "The user refused: Ben has left"]
