"""ChatOpenAI and ChatAnthropic in tasks, over HTTP: tokens, whole messages, tools and failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import ToolException, tool
from langchain_openai import ChatOpenAI

from clew import Checkpointer, Command, InMemorySaver, RetryPolicy, add_messages, entrypoint, interrupt, task
from clew.agents import create_agent
from support.colours import Colour, result, thread
from support.model_server import serving
from support.provider import Provider
from support.provider_protocols import Answer, Use
from support.scripted import ON_1

Make = Callable[..., BaseChatModel]


def chat_openai(address: str, **options: Any) -> BaseChatModel:
    return ChatOpenAI(model="m", api_key="none", base_url=f"{address}/v1", max_retries=0, **options)


def chat_anthropic(address: str, **options: Any) -> BaseChatModel:
    return ChatAnthropic(model_name="m", api_key="none", base_url=address, max_retries=0, **options)


@pytest.fixture(params=[chat_openai, chat_anthropic], ids=["openai", "anthropic"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes the chat model of a provider: of an address, with options."""
    chosen: Make = request.param
    return chosen


@pytest.fixture
def chat(make: Make, provider: Provider) -> BaseChatModel:
    """A chat model that asks the scripted provider."""
    return make(provider.address)


@tool(response_format="content_and_artifact")
def weather(city: str) -> tuple[str, dict[str, int]]:
    """Tell the weather of a city."""
    if city == "Atlantis":
        raise ToolException("there is no Atlantis")
    return f"rain in {city}", {"mm": 3}


def told(message: Any) -> str:
    """Return the text of a message or of a piece of one."""
    text: str = message.text
    return text


def test_tokens_of_a_merely_invoked_model_come_as_chunks_of_one_message(
    colour: Colour, chat: BaseChatModel, provider: Provider, saver: Checkpointer
) -> None:
    provider.will("It rains in Oslo.")

    @colour.task
    async def call_model(messages: list[Any]) -> Any:
        return await chat.ainvoke(messages) if colour.task_is_async else chat.invoke(messages)

    @colour.entrypoint(checkpointer=saver)
    async def flow(messages: list[Any]) -> Any:
        return add_messages(messages, await result(call_model(messages)))

    asked = [HumanMessage("Weather?")]
    chunks = colour.stream(flow, asked, thread("7"), stream_mode=["messages", "values"])
    said = [chunk for mode, chunk in chunks if mode == "messages"]
    assert [told(message) for message, _ in said if told(message)] == ["It", " rains", " in", " Oslo."]
    assert all(isinstance(message, AIMessageChunk) for message, _ in said)
    assert {metadata["langgraph_node"] for _, metadata in said} == {"call_model"}
    assert {metadata["thread_id"] for _, metadata in said} == {"7"}
    assert {metadata["ls_model_name"] for _, metadata in said} == {"m"}
    [value] = [chunk for mode, chunk in chunks if mode == "values"]
    assert {message.id for message, _ in said} == {value[-1].id}
    assert told(value[-1]) == "It rains in Oslo."
    assert flow.get_state(thread("7")).saved == value


def test_a_model_that_streams_by_itself_is_told_once(colour: Colour, chat: BaseChatModel, provider: Provider) -> None:
    provider.will("It rains.")

    @colour.task
    async def call_model(text: str) -> Any:
        whole: Any = None
        if colour.task_is_async:
            async for chunk in chat.astream(text):
                whole = chunk if whole is None else whole + chunk
        else:
            for chunk in chat.stream(text):
                whole = chunk if whole is None else whole + chunk
        return whole

    @colour.entrypoint
    async def flow(text: str) -> Any:
        return await result(call_model(text))

    said = colour.stream(flow, "hi", stream_mode="messages")
    assert "".join(told(message) for message, _ in said) == "It rains."
    assert len({message.id for message, _ in said}) == 1


def test_the_pieces_of_openais_responses_have_one_id_too(
    colour: Colour, provider: Provider, saver: Checkpointer
) -> None:
    provider.will("It rains in Oslo.")
    chat = chat_openai(provider.address, use_responses_api=True)

    @colour.task
    async def call_model(text: str) -> Any:
        return await chat.ainvoke(text) if colour.task_is_async else chat.invoke(text)

    @colour.entrypoint(checkpointer=saver)
    async def flow(text: str) -> Any:
        return await result(call_model(text))

    said = colour.stream(flow, "hi", thread("7"), stream_mode="messages")
    assert "".join(told(message) for message, _ in said) == "It rains in Oslo."
    ids = {message.id for message, _ in said} | {metadata["message_id"] for _, metadata in said}
    assert ids == {flow.get_state(thread("7")).saved.id}


def test_a_model_that_must_not_stream_gives_its_whole_message_once(
    colour: Colour, make: Make, provider: Provider
) -> None:
    provider.will("It rains.")
    chat = make(provider.address, disable_streaming=True)

    @colour.task
    async def call_model(text: str) -> Any:
        return await chat.ainvoke(text) if colour.task_is_async else chat.invoke(text)

    @colour.entrypoint
    async def flow(text: str) -> Any:
        return [await result(call_model(text))]

    [(message, metadata)] = colour.stream(flow, "hi", stream_mode="messages")
    assert (told(message), metadata["langgraph_node"]) == ("It rains.", "call_model")


def test_models_side_by_side_have_an_id_each(colour: Colour, chat: BaseChatModel, provider: Provider) -> None:
    provider.will("one two", "one two")

    @colour.task
    async def call_model(text: str) -> Any:
        return await chat.ainvoke(text) if colour.task_is_async else chat.invoke(text)

    @colour.entrypoint
    async def flow(text: str) -> Any:
        started = [call_model(text), call_model(text)]
        return [(await result(one)).id for one in started]

    chunks = colour.stream(flow, "hi", stream_mode=["messages", "values"])
    [ids] = [chunk for mode, chunk in chunks if mode == "values"]
    said = [chunk for mode, chunk in chunks if mode == "messages"]
    assert len(set(ids)) == 2
    for id in ids:
        assert "".join(told(message) for message, _ in said if message.id == id) == "one two"
        assert len({metadata["task_id"] for message, metadata in said if message.id == id}) == 1


def test_a_reply_that_was_recorded_is_not_asked_for_again(
    chat: BaseChatModel, provider: Provider, saver: Checkpointer
) -> None:
    provider.will(Answer(text="I look.", uses=(Use(tool="weather", arguments={"city": "Oslo"}, id="u1"),)))

    model = chat.bind_tools([weather])

    @task
    def call_model(messages: list[Any]) -> AIMessage:
        return model.invoke(messages)

    @entrypoint(checkpointer=saver)
    def flow(messages: list[Any]) -> Any:
        reply = call_model(messages).result()
        interrupt(reply.tool_calls)
        return reply

    list(flow.stream([("user", "hi")], thread(), stream_mode="messages"))
    reply = flow.invoke(Command(resume=True), thread())
    assert reply.tool_calls == [{"name": "weather", "args": {"city": "Oslo"}, "id": "u1", "type": "tool_call"}]
    assert told(reply) == "I look."


@pytest.mark.parametrize("status", [429, 500])
def test_a_provider_that_is_busy_is_asked_again_by_the_tasks_policy(make: Make, status: int) -> None:
    with serving() as server:
        chat = make(server.address)

        @task(retry_policy=RetryPolicy(initial_interval=0, jitter=False))
        def call_model(text: str) -> Any:
            return chat.invoke(text)

        @entrypoint
        def flow(text: str) -> Any:
            return call_model(text).result()

        server.status = status
        with pytest.raises(Exception, match=str(status)):
            flow.invoke("hi")
        assert len(server.requests) == 3


def test_tools_are_used_in_a_loop_of_ones_own_and_keep_their_artifacts(
    colour: Colour, chat: BaseChatModel, provider: Provider, saver: Checkpointer
) -> None:
    provider.will(Answer(uses=(Use(tool="weather", arguments={"city": "Oslo"}, id="u1"),)), "It rains.")
    model = chat.bind_tools([weather])

    @colour.task
    async def call_model(messages: list[Any]) -> Any:
        return await model.ainvoke(messages) if colour.task_is_async else model.invoke(messages)

    @colour.task
    async def use(call: Any) -> Any:
        return await weather.ainvoke(call) if colour.task_is_async else weather.invoke(call)

    @colour.entrypoint(checkpointer=saver)
    async def flow(messages: list[Any]) -> Any:
        messages = add_messages(messages, await result(call_model(messages)))
        used = [use(call) for call in messages[-1].tool_calls]
        messages = add_messages(messages, [await result(one) for one in used])
        return add_messages(messages, await result(call_model(messages)))

    messages = colour.invoke(flow, [("user", "Weather?")], thread())
    assert [type(m).__name__ for m in messages] == ["HumanMessage", "AIMessage", "ToolMessage", "AIMessage"]
    kept = flow.get_state(thread()).saved[2]
    assert isinstance(kept, ToolMessage)
    assert (kept.content, kept.artifact, kept.tool_call_id) == ("rain in Oslo", {"mm": 3}, "u1")


def test_an_agent_streams_what_the_model_says_and_uses_its_tools(chat: BaseChatModel, provider: Provider) -> None:
    call = Use(tool="weather", arguments={"city": "Oslo"}, id="u1")
    wrong = Use(tool="weather", arguments={"city": "Atlantis"}, id="u2")
    provider.will(Answer(text="I look.", uses=(call, wrong)), "It rains in Oslo.")
    agent = create_agent(chat, [weather], prompt="Be brief.", checkpointer=InMemorySaver())
    said = [
        (told(message), metadata["langgraph_node"])
        for message, metadata in agent.stream("Weather?", ON_1, stream_mode="messages")
        if isinstance(message, AIMessageChunk) and told(message)
    ]
    assert [text for text, _ in said] == ["I", " look.", "It", " rains", " in", " Oslo."]
    assert {node for _, node in said} == {"call_model"}
    saved = agent.get_state(ON_1).saved
    assert [m.type for m in saved] == ["human", "ai", "tool", "tool", "ai"]
    assert [m.content for m in saved[2:4]] == ["rain in Oslo", "Error: ToolException: there is no Atlantis"]
