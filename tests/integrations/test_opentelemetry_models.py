"""Spans of models, tools and agents, with the names of the conventions for generative AI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from opentelemetry.trace import StatusCode

from clew import InMemorySaver, ModelCall, ToolUse, entrypoint, task, watched
from clew.agents import anthropic_model, create_agent, openai_model
from support.provider import Provider, providing
from support.provider_protocols import Answer, Use
from support.spans import told, traced

ON_1: dict[str, Any] = {"configurable": {"thread_id": "1"}}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with providing() as provider:
        yield provider


def sdk_model(kind: str, provider: Provider) -> Any:
    import anthropic
    import openai

    to_openai: dict[str, Any] = {"api_key": "none", "base_url": f"{provider.address}/v1", "max_retries": 0}
    to_anthropic: dict[str, Any] = {"api_key": "none", "base_url": provider.address, "max_retries": 0}
    makers: dict[str, Callable[[], Any]] = {
        "openai": lambda: openai_model(openai.OpenAI(**to_openai), "gpt", temperature=0.5),
        "openai async": lambda: openai_model(openai.AsyncOpenAI(**to_openai), "gpt", temperature=0.5),
        "anthropic": lambda: anthropic_model(anthropic.Anthropic(**to_anthropic), "claude"),
        "anthropic async": lambda: anthropic_model(anthropic.AsyncAnthropic(**to_anthropic), "claude"),
    }
    return makers[kind]()


def chat_model(kind: str, provider: Provider, *, streaming: bool) -> Any:
    from langchain_anthropic import ChatAnthropic
    from langchain_openai import ChatOpenAI

    if kind == "openai":
        return ChatOpenAI(
            model="gpt", api_key="none", base_url=f"{provider.address}/v1", temperature=0.5, streaming=streaming,
            stream_usage=True, max_retries=0,
        )  # type: ignore[arg-type]  # fmt: skip
    return ChatAnthropic(
        model="claude",
        api_key="none",
        base_url=provider.address,
        streaming=streaming,
        max_retries=0,  # type: ignore
    )


def weather(city: str) -> str:
    """Say how the weather is."""
    return f"It rains in {city}."


@pytest.mark.parametrize("kind", ["openai", "openai async", "anthropic", "anthropic async"])
def test_an_agent_is_told_by_its_turns_models_and_tools(kind: str, provider: Provider) -> None:
    provider.will(Answer(uses=(Use(tool="weather", arguments={"city": "Bonn"}, id="u1"),)), "Take an umbrella.")
    agent = create_agent(sdk_model(kind, provider), [weather], name="helper", checkpointer=InMemorySaver())
    with traced() as spans:
        agent.invoke("How is Bonn?", ON_1)
    name = "gpt" if kind.startswith("openai") else "claude"
    first, second = (told(span) for span in spans.of(f"chat {name}"))
    assert first["gen_ai.operation.name"] == "chat"
    assert first["gen_ai.provider.name"] == first["gen_ai.system"] == kind.split()[0]
    assert first["gen_ai.request.model"] == name
    assert first["gen_ai.response.model"] == "m"
    assert first["gen_ai.usage.input_tokens"] == 1
    assert first["gen_ai.usage.output_tokens"] == 1
    assert [said["gen_ai.response.finish_reasons"] for said in (first, second)] in (
        [("tool_calls",), ("stop",)], [("tool_use",), ("end_turn",)],
    )  # fmt: skip
    assert {spans.parent(span) for span in spans.of(f"chat {name}")} <= {"task call_model", "attempt call_model"}
    tool = spans.the("execute_tool weather")
    assert spans.parent(tool) == "task weather"
    assert told(tool) == {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather", "gen_ai.tool.type": "function",
        "gen_ai.tool.description": "Say how the weather is.",
    }  # fmt: skip
    turn = spans.the("invoke_agent helper")
    assert told(turn)["gen_ai.agent.name"] == "helper"
    assert spans.parent(turn) == "invoke_workflow helper"
    assert "Bonn" not in repr([told(span) for span in spans.all])


def test_what_was_said_is_told_only_if_asked_for(provider: Provider) -> None:
    provider.will(Answer(uses=(Use(tool="weather", arguments={"city": "Bonn"}, id="u1"),)), "Take an umbrella.")
    model = sdk_model("openai", provider)
    agent = create_agent(model, [weather], prompt="Be short.", name="helper", checkpointer=InMemorySaver())
    with traced(content=True) as spans:
        agent.invoke("How is Bonn?", ON_1)
    first, second = (told(span) for span in spans.of("chat gpt"))
    use = {"type": "tool_call", "id": "u1", "name": "weather", "arguments": '{"city": "Bonn"}'}
    asked = {"role": "user", "parts": [{"type": "text", "content": "How is Bonn?"}]}
    result = {"type": "tool_call_response", "id": "u1", "response": "It rains in Bonn."}
    assert json.loads(first["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be short."}]
    assert json.loads(first["gen_ai.input.messages"]) == [asked]
    assert json.loads(first["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [use], "finish_reason": "tool_calls"}
    ]
    assert json.loads(second["gen_ai.input.messages"]) == [
        asked, {"role": "assistant", "parts": [use]}, {"role": "tool", "parts": [result]},
    ]  # fmt: skip
    tool = told(spans.the("execute_tool weather"))
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"city": "Bonn"}
    assert json.loads(tool["gen_ai.tool.call.result"]) == "It rains in Bonn."


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_langchains_chat_models_are_told(kind: str, streaming: bool, is_async: bool, provider: Provider) -> None:
    provider.will("Take an umbrella.")
    model = chat_model(kind, provider, streaming=streaming)

    @task
    def ask(text: str) -> str:
        return str(model.invoke(text).text)

    @task
    async def aask(text: str) -> str:
        return str((await model.ainvoke(text)).text)

    @entrypoint
    async def flow(text: str) -> str:
        return await (aask if is_async else ask)(text)

    with traced(content=True) as spans:
        assert asyncio.run(flow.ainvoke("How is Bonn?")) == "Take an umbrella."
    name = "gpt" if kind == "openai" else "claude"
    span = spans.the(f"chat {name}")
    said = told(span)
    assert spans.parent(span) == ("task aask" if is_async else "task ask")
    assert said["gen_ai.provider.name"] == kind
    assert said["gen_ai.request.model"] == name
    assert said["gen_ai.response.finish_reasons"] == (("stop",) if kind == "openai" else ("end_turn",))
    assert said["gen_ai.usage.output_tokens"] == 1
    assert said["gen_ai.input.messages"] == (
        '[{"role": "user", "parts": [{"type": "text", "content": "How is Bonn?"}]}]'
    )
    assert json.loads(said["gen_ai.output.messages"])[0]["parts"] == [{"type": "text", "content": "Take an umbrella."}]


def test_a_model_of_langchain_that_fails_is_told(provider: Provider) -> None:
    model = chat_model("openai", provider, streaming=False)  # whose script is empty: it refuses

    @entrypoint
    def flow(text: str) -> str:
        return str(model.invoke(text).text)

    with traced() as spans, pytest.raises(Exception, match="no further answer"):
        flow.invoke("How is Bonn?")
    span = spans.the("chat gpt")
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]


def test_models_can_be_left_to_another_instrumentation(provider: Provider) -> None:
    provider.will("Take an umbrella.")
    agent = create_agent(sdk_model("openai", provider), name="helper", checkpointer=InMemorySaver())
    fake = GenericFakeChatModel(messages=iter([AIMessage("Hello.")]))
    with traced(models=False) as spans:
        agent.invoke("How is Bonn?", ON_1)
        entrypoint(lambda text: fake.invoke([HumanMessage(text)]).text).invoke("Hi")
    assert [name for name in spans.names if name.startswith("chat")] == []


def test_a_call_of_ones_own_is_told_by_one_block() -> None:
    @task
    def ask(text: str) -> str:
        with watched(ModelCall(provider="mine", model="tiny", options={"max_tokens": 7, "stop": "."})) as call:
            call.input_tokens, call.output_tokens = 3, 4
        with watched(ToolUse(name="calculator")):
            return text

    @entrypoint
    def flow(text: str) -> str:
        return ask(text).result()

    with traced() as spans:
        flow.invoke("Hi")
    assert told(spans.the("chat tiny")) == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "mine", "gen_ai.system": "mine",
        "gen_ai.request.model": "tiny", "gen_ai.request.max_tokens": 7, "gen_ai.request.stop_sequences": (".",),
        "gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 4,
    }  # fmt: skip
    assert spans.parent(spans.the("execute_tool calculator")) == "task ask"


def test_a_block_that_nobody_watches_does_nothing() -> None:
    with watched(ModelCall(provider="mine", model="tiny")) as call:
        call.output_tokens = 1


def test_the_span_of_a_call_is_current_while_it_lasts() -> None:
    with traced() as spans:
        with watched(ModelCall(provider="mine", model="tiny")):
            spans.provider.get_tracer("http").start_span("POST").end()
        assert spans.parent(spans.the("POST")) == "chat tiny"
