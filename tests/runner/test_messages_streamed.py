"""The stream mode "messages" without any package of messages: dicts, and what a client's code says by itself."""

from __future__ import annotations

from typing import Any

import pytest

from clew import Checkpointer, Command, NotInWorkflow, entrypoint, interrupt, stream_message
from support.colours import Colour, result, thread


def reply(text: str, id: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": text} | ({} if id is None else {"id": id})


def test_any_object_can_be_said_with_metadata_of_its_own(colour: Colour, saver: Checkpointer) -> None:
    token = object()

    @colour.task
    async def call_model() -> str:
        stream_message(token)
        stream_message("text", {"model": "m", "run_id": "mine"})
        return "done"

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        return await result(call_model())

    first, second = colour.stream(flow, 1, thread(), stream_mode="messages")
    assert first[0] is token
    assert first[1]["langgraph_node"] == "call_model"
    assert first[1]["thread_id"] == "1"
    assert second[0] == "text"
    assert (second[1]["model"], second[1]["run_id"]) == ("m", "mine")


def test_nothing_happens_where_nobody_listens_and_outside_a_run_it_is_refused(colour: Colour) -> None:
    @colour.entrypoint
    async def flow(x: int) -> int:
        stream_message(reply("hello"))
        return x

    assert colour.invoke(flow, 1) == 1
    assert colour.stream(flow, 1) == [{"flow": 1}]
    with pytest.raises(NotInWorkflow):
        stream_message("hello")


def test_messages_as_dicts_are_found_in_results_once_each(colour: Colour) -> None:
    @colour.task
    async def call_model(messages: list[Any]) -> Any:
        return reply("without an id")

    @colour.task
    async def other() -> Any:
        return {"messages": [reply("a", "1")], "text": "b", "number": 3}

    @colour.entrypoint
    async def flow(messages: list[Any]) -> Any:
        first = await result(call_model(messages))
        return [*messages, first, *(await result(other()))["messages"], reply("a, told again", "1"), reply("c", "2")]

    asked = [{"role": "user", "content": "hi"}]
    chunks = colour.stream(flow, asked, stream_mode=["messages", "updates"])
    told = [chunk[0]["content"] for mode, chunk in chunks if mode == "messages"]
    assert told == ["without an id", "a", "c"]
    assert [mode for mode, _ in chunks] == ["messages", "updates", "messages", "updates", "messages", "updates"]


def test_a_message_said_in_parts_under_an_id_is_not_repeated_whole(colour: Colour) -> None:
    @colour.task
    async def call_model() -> Any:
        for part in ("hel", "lo"):
            stream_message(reply(part, "m1"))
        return reply("hello", "m1")

    @colour.entrypoint
    async def flow(x: int) -> Any:
        return await result(call_model())

    chunks = colour.stream(flow, 1, stream_mode="messages")
    assert [message["content"] for message, _ in chunks] == ["hel", "lo"]


def test_a_replayed_call_says_nothing_again(colour: Colour, saver: Checkpointer) -> None:
    @colour.task
    async def call_model() -> Any:
        return reply("hello", "m1")

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        said = await result(call_model())
        interrupt("fine?")
        return [said, reply("bye", "m2")]

    first = colour.stream(flow, 1, thread(), stream_mode="messages")
    second = colour.stream(flow, Command(resume=True), thread(), stream_mode="messages")
    assert [message["id"] for message, _ in first] == ["m1"]
    assert [message["id"] for message, _ in second] == ["m2"]


def test_a_failed_attempt_said_what_it_said() -> None:
    @entrypoint
    def flow(x: int) -> None:
        stream_message("before")
        raise KeyError("broken")

    chunks = flow.stream(1, stream_mode="messages")
    assert next(chunks)[0] == "before"
    with pytest.raises(KeyError):
        next(chunks)
