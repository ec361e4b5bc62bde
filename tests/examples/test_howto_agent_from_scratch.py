"""The agent in a page, with OpenAI's async SDK."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from support.provider import Provider
from support.provider_protocols import Answer, Use

ON_1: dict[str, Any] = {"configurable": {"thread_id": "1"}}
OSLO = Use(tool="get_weather", arguments={"city": "Oslo"}, id="call_1")
ROME = Use(tool="get_weather", arguments={"city": "Rome"}, id="call_2")


async def ask(example: Any, provider: Provider, database: Any, tools: Any, *questions: str | None) -> list[Any]:
    """Ask the agent on one thread, and return its answers."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="none", base_url=f"{provider.address}/v1", max_retries=0) as client:
        agent = example("agent_from_scratch").build(client, database, tools)
        return [await agent.ainvoke(question, ON_1) for question in questions]


def results_told(provider: Provider) -> dict[str, str]:
    """Return what tools gave, as the model was told, by the id of the call."""
    told = provider.requests[-1]["messages"]
    return {message["tool_call_id"]: message["content"] for message in told if message["role"] == "tool"}


def test_the_model_gets_the_results_of_the_tools_it_calls(example: Any, provider: Provider, open_database: Any) -> None:
    provider.will(Answer(uses=(OSLO, ROME)), "In Rome.", "In Oslo.")
    tools = {"get_weather": example("agent_from_scratch").get_weather}
    answers = asyncio.run(ask(example, provider, open_database(), tools, "Where is it warmer?", "And colder?"))
    assert answers == ["In Rome.", "In Oslo."]
    assert results_told(provider) == {"call_1": "4 degrees, rain", "call_2": "21 degrees, sun"}
    assert [message["role"] for message in provider.requests[-1]["messages"]] == [
        "user", "assistant", "tool", "tool", "assistant", "user",
    ]  # fmt: skip
    [described] = provider.requests[0]["tools"]
    assert described["function"]["parameters"]["required"] == ["city"]


def test_tools_run_side_by_side(example: Any, provider: Provider, open_database: Any) -> None:
    meeting = threading.Barrier(2, timeout=10)

    def get_weather(city: str) -> str:
        """Wait until the other call is under way too."""
        meeting.wait()
        return city

    provider.will(Answer(uses=(OSLO, ROME)), "Both.")
    asyncio.run(ask(example, provider, open_database(), {"get_weather": get_weather}, "Where is it warmer?"))
    assert results_told(provider) == {"call_1": "Oslo", "call_2": "Rome"}


def test_after_a_failure_neither_the_model_nor_finished_tools_are_asked_again(
    example: Any, provider: Provider, open_database: Any
) -> None:
    asked: list[str] = []
    oslo_is_done = threading.Event()

    def get_weather(city: str) -> str:
        """Fail the first time that Rome is asked for."""
        asked.append(city)
        if city == "Oslo":
            oslo_is_done.set()
        elif asked.count("Rome") == 1:
            oslo_is_done.wait(timeout=10)
            raise ConnectionError("no network in Rome")
        return city

    provider.will(Answer(uses=(OSLO, ROME)), "In Rome.")
    tools = {"get_weather": get_weather}
    with pytest.raises(ConnectionError, match="no network in Rome"):
        asyncio.run(ask(example, provider, open_database(), tools, "Where is it warmer?"))
    assert asyncio.run(ask(example, provider, open_database(), tools, None)) == ["In Rome."]
    assert len(provider.requests) == 2
    assert asked.count("Rome") == 2


def test_it_runs_as_a_program(play: Callable[..., Any], provider: Provider) -> None:
    provider.will(Answer(uses=(OSLO,)), "Four degrees.")
    ended = play("agent_from_scratch", "How warm is Oslo?", environment=provider.environment())
    assert ended.stdout == "Four degrees.\n", ended.stderr
