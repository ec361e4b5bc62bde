"""LangChain's messages in records and saved values: what comes back is equal, whatever class it is of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    ToolMessageChunk,
)
from langchain_core.prompt_values import ChatPromptValue

from clew import Checkpointer, Command, add_messages, entrypoint, interrupt, task
from support.colours import Colour, result, thread

USED = {
    "input_tokens": 5,
    "output_tokens": 7,
    "total_tokens": 12,
    "input_token_details": {"cache_read": 1},
    "output_token_details": {"reasoning": 2},
}
CALL = {"name": "weather", "args": {"city": "Oslo", "days": [1, 2]}, "id": "c1", "type": "tool_call"}
WRONG = {"name": "weather", "args": '{"city', "id": "c2", "error": "no JSON", "type": "invalid_tool_call"}
BLOCKS = [
    {"type": "text", "text": "See:", "annotations": [{"type": "citation", "url": "https://example.com"}]},
    {"type": "reasoning", "reasoning": "hm", "extras": {"signature": "s"}},
    {"type": "image", "base64": "aGk=", "mime_type": "image/png"},
    "and text",
]

MESSAGES: list[BaseMessage] = [
    HumanMessage("hi", id="1", name="Ann", additional_kwargs={"mood": "good"}),
    HumanMessage(BLOCKS, id="2"),
    SystemMessage("Be brief.", id="3"),
    AIMessage(
        BLOCKS,
        id="4",
        tool_calls=[CALL],
        invalid_tool_calls=[WRONG],
        usage_metadata=USED,
        response_metadata={"model_name": "m", "logprobs": [{"token": "a", "logprob": -0.5}], "finish_reason": "stop"},
    ),
    AIMessage(content_blocks=[{"type": "text", "text": "new style"}], id="5"),
    ToolMessage("rain", id="6", tool_call_id="c1", name="weather", artifact={"mm": 3, "raw": b"x"}, status="error"),
    ToolMessage([{"type": "text", "text": "rain"}], id="7", tool_call_id="c1", artifact=[Document("d", id="d1")]),
    ChatMessage("aye", role="pirate", id="8"),
    FunctionMessage("42", name="answer", id="9"),
    AIMessageChunk(
        "he",
        id="10",
        tool_call_chunks=[{"name": "weather", "args": '{"ci', "id": "c1", "index": 0, "type": "tool_call_chunk"}],
        chunk_position="last",
    ),
    HumanMessageChunk("hu", id="11"),
    ToolMessageChunk("to", id="12", tool_call_id="c1"),
    RemoveMessage(id="13"),
]


@pytest.fixture(params=MESSAGES, ids=lambda message: f"{type(message).__name__}-{message.id}")
def message(request: pytest.FixtureRequest) -> BaseMessage:
    kept: BaseMessage = request.param
    return kept


def test_a_message_comes_back_equal_from_a_record(message: BaseMessage, saver: Checkpointer) -> None:
    @task
    def call_model() -> Any:
        return message

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> Any:
        said = call_model().result()
        interrupt("fine?")
        return [said]

    flow.invoke(1, thread())
    assert_same(flow.invoke(Command(resume=True), thread())[0], message)


def test_a_message_comes_back_equal_from_the_saved_value_and_the_state(
    message: BaseMessage, saver: Checkpointer
) -> None:
    @entrypoint(checkpointer=saver)
    def flow(given: Any, previous: Any = None) -> Any:
        return [*(previous or []), given]

    flow.invoke(message, thread())
    assert_same(flow.invoke(HumanMessage("more", id="20"), thread())[0], message)
    assert_same(flow.get_state(thread()).saved[0], message)


def assert_same(kept: Any, message: BaseMessage) -> None:
    assert kept == message
    assert type(kept) is type(message)
    assert kept.model_dump() == message.model_dump()
    assert kept is not message


def test_a_conversation_grows_by_add_messages_and_comes_back_equal(colour: Colour, saver: Checkpointer) -> None:
    whole = [message for message in MESSAGES if not isinstance(message, RemoveMessage)]

    @colour.task
    async def reply(messages: list[Any]) -> Any:
        return AIMessage(f"{len(messages)}", usage_metadata=USED)

    @colour.entrypoint(checkpointer=saver)
    async def flow(new: Any, previous: Any = None) -> Any:
        messages = add_messages(previous or [], new)
        return add_messages(messages, await result(reply(messages)))

    first = colour.invoke(flow, whole, thread())
    second = colour.invoke(flow, HumanMessage("more"), thread())
    assert second[: len(first)] == first
    assert flow.get_state(thread()).saved == second
    assert [type(m) for m in first[:-1]][9] is AIMessage  # a chunk is a message, once it is in a conversation
    assert all(m.id for m in second)


OTHERS: list[Callable[[], Any]] = [
    lambda: Document("text", id="d", metadata={"page": 1}),
    lambda: ChatPromptValue(messages=[HumanMessage("hi", id="1")]),
]


@pytest.mark.parametrize("make", OTHERS, ids=["document", "prompt"])
def test_what_else_chains_give_comes_back_equal(make: Callable[[], Any], saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: int, previous: Any = None) -> Any:
        return entrypoint.final(value=previous, save=make())

    flow.invoke(1, thread())
    assert flow.invoke(1, thread()) == make()
