"""Agents with OpenAI's and Anthropic's own SDKs, blocking and async, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI

from clew import InMemorySaver
from clew.agents import anthropic_model, create_agent, create_team, hand_over, openai_model
from clew.testing import fake_clock
from support.model_server import serving
from support.provider import Provider
from support.provider_protocols import Answer, Use
from support.scripted import ON_1, results

WEATHER = Use(tool="weather", arguments={"city": "Oslo"}, id="use_1")
BOTH = (WEATHER, Use(tool="weather", arguments={"city": "Rome"}, id="use_2"))


def weather(city: str) -> str:
    """Tell the weather."""
    if city == "Rome":
        raise LookupError(city)
    return f"rain in {city}"


def now() -> str:
    """Tell the time."""
    return "noon"


def test_tools_are_used_and_two_turns_share_a_thread(model: Callable[[], Any], provider: Provider) -> None:
    provider.will(Answer(text="I look.", uses=BOTH), "It rains in Oslo.", "Hello again.")

    async def two_turns() -> list[Any]:
        agent = create_agent(model(), [weather], prompt="Be brief.", checkpointer=InMemorySaver())
        return [await agent.ainvoke(text, ON_1) for text in ("What of Oslo and Rome?", "Hi")]

    first, second = asyncio.run(two_turns())
    assert (first.text, second.text) == ("It rains in Oslo.", "Hello again.")
    assert results(first.messages) == ["rain in Oslo", "Error: LookupError: Rome"]
    assert [len(request["messages"]) for request in provider.requests][:2] in ([2, 5], [1, 3])
    assert all("weather" in str(request["tools"]) for request in provider.requests)
    assert all("Be brief." in str(request) for request in provider.requests)


def test_who_has_no_tools_goes_on_where_another_used_some(model: Callable[[], Any], provider: Provider) -> None:
    provider.will(Answer(uses=(Use(tool="hand_over_to_clerk", arguments={}, id="use_1"),)), "Room 7.")

    async def turn() -> Any:
        guide = create_agent(model(), [hand_over("clerk", "They want a room.")], name="guide")
        return await create_team([guide, create_agent(model(), name="clerk")]).ainvoke("A room")

    assert asyncio.run(turn()).text == "Room 7."


def test_blocking_callers_are_served_as_well(model: Callable[[], Any], provider: Provider) -> None:
    provider.will("Hello.")
    assert create_agent(model()).invoke("Hi").text == "Hello."


def test_an_image_in_openais_shape_is_shown_to_either(model: Callable[[], Any], provider: Provider) -> None:
    images = [{"type": "image_url", "image_url": {"url": url}} for url in ("data:image/png;base64,QUI=", "http://x/a")]
    provider.will("Two lamps.")
    asked = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, *images]}]
    assert create_agent(model()).invoke(asked).text == "Two lamps."
    [_, *shown] = provider.requests[0]["messages"][0]["content"]
    inline = {"type": "base64", "media_type": "image/png", "data": "QUI="}
    for_anthropic = [{"type": "image", "source": s} for s in (inline, {"type": "url", "url": "http://x/a"})]
    assert shown in (images, for_anthropic)


def test_tokens_are_streamed_and_the_whole_is_not_said_again(model: Callable[[], Any], provider: Provider) -> None:
    provider.will("It rains in Oslo.")
    said = [message for message, _ in create_agent(model()).stream("go", stream_mode="messages")]
    pieces = [message["content"] for message in said if message["role"] == "assistant"]
    assert pieces == ["It", " rains", " in", " Oslo."]


@pytest.mark.parametrize("written", ['{"city": "Os', '{"city": "Oslo"', '{"city": Oslo}', ""])
def test_a_call_whose_arguments_are_cut_off_or_no_json_is_not_made(
    written: str, model: Callable[[], Any], provider: Provider
) -> None:
    used: list[str] = []

    def forecast(city: str = "Rome", days: int = 1) -> str:
        used.append(f"{city} {days}")
        return "rain"

    cut = Use(tool="forecast", arguments=written, id="use_1")
    provider.will(Answer(text="I look.", uses=(cut,), is_full=True), "I was cut off.")
    reply = create_agent(model(), [forecast]).invoke("What of Oslo?")
    assert (reply.text, used) == ("I was cut off.", [])
    assert results(reply.messages) == ["Error: ValueError: the arguments are not a JSON object"]


def test_a_tool_that_takes_nothing_is_used(model: Callable[[], Any], provider: Provider) -> None:
    provider.will(Answer(uses=(Use(tool="now", arguments="", id="use_1"),)), "It is noon.")
    assert results(create_agent(model(), [now]).invoke("When?").messages) == ["noon"]


def test_what_a_provider_refuses_is_raised_at_once(model: Callable[[], Any], provider: Provider) -> None:
    with pytest.raises(Exception, match="the script of this test has no further answer"):
        create_agent(model()).invoke("go")
    assert len(provider.requests) == 1


def test_after_a_rate_limit_and_a_lost_connection_it_goes_on(model: Callable[[], Any], provider: Provider) -> None:
    provider.will(429, Answer(uses=(WEATHER,)), 503, Answer(text="It rains in Oslo.", is_cut=True), "It rains in Oslo.")
    with fake_clock():
        reply = create_agent(model(), [weather]).invoke("What of Oslo?")
    assert (reply.text, results(reply.messages)) == ("It rains in Oslo.", ["rain in Oslo"])


@pytest.mark.parametrize(("status", "asked"), [(429, 3), (529, 3), (401, 1)])
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_provider_that_is_busy_is_asked_again_and_one_that_refuses_is_not(kind: str, status: int, asked: int) -> None:
    with serving() as server:
        server.status = status
        if kind == "openai":
            busy = openai_model(OpenAI(api_key="none", base_url=f"{server.address}/v1", max_retries=0), "m")
        else:
            busy = anthropic_model(Anthropic(api_key="none", base_url=server.address, max_retries=0), "m")
        with fake_clock(), pytest.raises(Exception, match=str(status)):
            create_agent(busy).invoke("go")
        assert len(server.requests) == asked
