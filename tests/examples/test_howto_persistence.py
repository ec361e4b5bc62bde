"""The chat that goes on where it left off, with OpenAI's SDK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.provider import Provider

ON_1: dict[str, Any] = {"configurable": {"thread_id": "1"}}
ON_2: dict[str, Any] = {"configurable": {"thread_id": "2"}}


def says(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_the_model_is_told_what_was_said_before_on_the_thread_alone(
    example: Any, openai: Any, provider: Provider, open_database: Any
) -> None:
    provider.will("Hello Bob!", "You are Bob.", "I do not know.")

    chat = example("persistence").build(openai, open_database())
    assert chat.invoke(says("I am Bob"), ON_1)["content"] == "Hello Bob!"

    as_after_a_restart = example("persistence").build(openai, open_database())
    assert as_after_a_restart.invoke(says("Who am I?"), ON_1)["content"] == "You are Bob."
    assert as_after_a_restart.invoke(says("Who am I?"), ON_2)["content"] == "I do not know."

    _, again, elsewhere = (request["messages"] for request in provider.requests)
    assert again == [says("I am Bob"), {"role": "assistant", "content": "Hello Bob!"}, says("Who am I?")]
    assert elsewhere == [says("Who am I?")]


def test_the_answer_is_streamed_as_it_comes(example: Any, openai: Any, provider: Provider, open_database: Any) -> None:
    provider.will("You are Bob.")
    chat = example("persistence").build(openai, open_database())
    pieces = list(chat.stream(says("Who am I?"), ON_1, stream_mode="custom"))
    assert [piece for piece in pieces if piece] == ["You", " are", " Bob."]


def test_it_runs_as_a_program(play: Callable[..., Any], provider: Provider) -> None:
    provider.will("Hello Bob!", "You are Bob.")
    environment = provider.environment()
    first = play("persistence", "7", typed="I am Bob\n\n", environment=environment)
    second = play("persistence", "7", typed="Who am I?\n", environment=environment)
    assert "Hello Bob!" in first.stdout, first.stderr
    assert "You are Bob." in second.stdout, second.stderr
    assert len(provider.requests[1]["messages"]) == 3


def test_without_a_key_it_says_what_it_needs(play: Callable[..., Any]) -> None:
    ended = play("persistence")
    assert ended.returncode == 1
    assert "OPENAI_API_KEY must be set" in ended.stderr
