"""The chat that knows its user in every conversation, with Anthropic's SDK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.provider import Provider


def turn(text: str, user_id: str) -> dict[str, Any]:
    return {"user_id": user_id, "messages": [{"role": "user", "content": text}]}


def on(thread: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": thread}}


def test_what_one_user_said_is_known_on_all_threads_of_that_user_alone(
    example: Any, anthropic: Any, provider: Provider, open_database: Any
) -> None:
    provider.will("I will.", "A vegetarian curry?", "A steak?")
    database = open_database(embed="local")
    chat = example("cross_thread_memory").build(anthropic, database)

    chat.invoke(turn("Remember: I eat no meat", "1"), on("1"))
    assert chat.invoke(turn("What is for dinner?", "1"), on("2"))["content"] == "A vegetarian curry?"
    chat.invoke(turn("What is for dinner?", "2"), on("3"))

    first, same_user, other_user = (request["system"] for request in provider.requests)
    assert "nothing yet" in first
    assert "I eat no meat" in same_user
    assert "nothing yet" in other_user
    assert [item.value for item in database.store.search(("memories", "1"))] == [{"data": "I eat no meat"}]


def test_it_runs_as_a_program(play: Callable[..., Any], provider: Provider) -> None:
    provider.will("I will.", "A vegetarian curry?")
    environment = provider.environment()
    play("cross_thread_memory", "1", typed="Remember: I eat no meat\n", environment=environment)
    second = play("cross_thread_memory", "1", typed="What is for dinner?\n", environment=environment)
    assert "A vegetarian curry?" in second.stdout, second.stderr
    assert len(provider.requests[1]["messages"]) == 1  # a new thread
    assert "I eat no meat" in provider.requests[1]["system"]
