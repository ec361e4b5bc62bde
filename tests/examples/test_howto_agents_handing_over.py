"""The agents who hand over to one another, with OpenAI's SDK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.provider import Provider
from support.provider_protocols import Answer, Use

ON_1: dict[str, Any] = {"configurable": {"thread_id": "1"}}


def to(agent: str, number: int) -> Answer:
    return Answer(uses=(Use(tool="hand_over", arguments={"to": agent}, id=f"call_{number}"),))


def who_was_asked(provider: Provider) -> list[str]:
    """Return which agent each request was for, as its instructions tell."""
    instructions = [request["messages"][0]["content"] for request in provider.requests]
    return ["guide" if told.startswith("You know places") else "innkeeper" for told in instructions]


def test_the_agent_that_is_named_goes_on(example: Any, openai: Any, provider: Provider, open_database: Any) -> None:
    provider.will(to("innkeeper", 1), "The Sea View.")
    desk = example("agents_handing_over").build(openai, open_database())
    assert desk.invoke("Where would I sleep?", ON_1) == "The Sea View."
    assert who_was_asked(provider) == ["guide", "innkeeper"]
    assert provider.requests[1]["messages"][-1]["content"] == "The innkeeper goes on."


def test_each_turn_and_each_answer_within_it_is_an_update(
    example: Any, openai: Any, provider: Provider, open_database: Any
) -> None:
    provider.will(to("innkeeper", 1), to("guide", 2), "Crete.")
    desk = example("agents_handing_over").build(openai, open_database())
    updates = [name for chunk in desk.stream("Where could I go?", ON_1) for name in chunk]
    assert updates == ["call_model", "take_turn"] * 3 + ["desk"]
    assert who_was_asked(provider) == ["guide", "innkeeper", "guide"]


def test_agents_that_cannot_agree_are_stopped(
    example: Any, openai: Any, provider: Provider, open_database: Any
) -> None:
    module = example("agents_handing_over")
    provider.will(*(to("innkeeper" if turn % 2 == 0 else "guide", turn) for turn in range(module.MOST_TURNS)))
    assert "cannot agree" in module.build(openai, open_database()).invoke("Where to?", ON_1)


def test_it_runs_as_a_program(play: Callable[..., Any], provider: Provider) -> None:
    provider.will(to("innkeeper", 1), "The Sea View.")
    ended = play("agents_handing_over", environment=provider.environment())
    assert ended.stdout == "The Sea View.\n", ended.stderr
