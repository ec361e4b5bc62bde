"""The stream mode "messages" with LangChain's chat models and messages."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph

from clew import Checkpointer, Command, add_messages, entrypoint, interrupt, task
from support.colours import Colour, result, thread


def model(*texts: str) -> GenericFakeChatModel:
    """Return a model that says the texts, one after the other, each word a token."""
    return GenericFakeChatModel(messages=iter(AIMessage(text) for text in texts))


def said(chunks: list[Any]) -> list[str]:
    return [message.content for message, _ in chunks]


def test_tokens_of_a_model_that_a_task_merely_invokes(colour: Colour) -> None:
    chat = model("hello big world")

    @colour.task
    async def call_model(text: str) -> Any:
        if colour.task_is_async:
            return await chat.ainvoke(text)
        return chat.invoke(text)

    @colour.entrypoint
    async def flow(text: str) -> Any:
        return await result(call_model(text))

    chunks = colour.stream(flow, "hi", stream_mode="messages")
    assert said(chunks) == ["hello", " ", "big", " ", "world"]
    assert all(isinstance(message, AIMessageChunk) for message, _ in chunks)
    assert len({message.id for message, _ in chunks}) == 1
    assert {metadata["langgraph_node"] for _, metadata in chunks} == {"call_model"}
    assert {metadata["ls_model_type"] for _, metadata in chunks} == {"chat"}


def test_the_metadata_name_the_call_and_the_run(saver: Checkpointer) -> None:
    chat = model("hello")

    @task
    def call_model(text: str) -> Any:
        return chat.invoke(text)

    @entrypoint(checkpointer=saver)
    def flow(text: str) -> Any:
        return call_model(text).result()

    config = thread("7", metadata={"customer": "blue"})
    chunks = list(flow.stream("hi", config, stream_mode=["tasks", "messages"]))
    ((_, metadata),) = [chunk for mode, chunk in chunks if mode == "messages"]
    (call_id,) = {chunk["id"] for mode, chunk in chunks if mode == "tasks" and chunk["name"] == "call_model"}
    assert metadata["task_id"] == call_id
    assert metadata["thread_id"] == "7"
    assert metadata["customer"] == "blue"
    assert metadata["langgraph_step"] == 0
    assert len(metadata["run_id"]) == 32


def test_tokens_come_while_the_model_speaks() -> None:
    going: list[str] = []

    class Slow(FakeListChatModel):
        def _stream(self, *args: Any, **options: Any) -> Iterator[Any]:
            for number, chunk in enumerate(super()._stream(*args, **options)):
                assert len(going) >= number  # the reader had each token before the next was made
                yield chunk

    chat = Slow(responses=["abc"])

    @task
    async def call_model(text: str) -> Any:
        spoken = ""
        async for chunk in chat.astream(text):
            spoken += str(chunk.content)
            while len(going) < len(spoken):
                await asyncio.sleep(0)
        return spoken

    @entrypoint
    async def flow(text: str) -> Any:
        return await call_model(text)

    async def read() -> None:
        async for message, _ in flow.astream("hi", stream_mode="messages"):
            going.append(message.content)

    asyncio.run(read())
    assert going == ["a", "b", "c"]


def test_a_model_that_does_not_stream_gives_its_whole_message(colour: Colour) -> None:
    chat = FakeListChatModel(responses=["all at once"], disable_streaming=True)

    @colour.task
    async def call_model(text: str) -> str:
        reply = await chat.ainvoke(text) if colour.task_is_async else chat.invoke(text)
        return str(reply.content)

    @colour.entrypoint
    async def flow(text: str) -> Any:
        return await result(call_model(text))

    assert said(colour.stream(flow, "hi", stream_mode="messages")) == ["all at once"]


def test_a_model_called_in_the_body_and_below_other_runnables_is_heard() -> None:
    chat = model("one", "two", "three")

    @entrypoint
    def flow(text: str) -> Any:
        chain = RunnableLambda(lambda given: given) | chat
        RunnableParallel(left=chain, right=chain).invoke(text)
        return chat.invoke(text).content

    assert sorted(said(list(flow.stream("hi", stream_mode="messages")))) == ["one", "three", "two"]


def test_the_users_own_callbacks_stay_and_do_not_hide_the_tokens() -> None:
    heard: list[str] = []

    class Own(BaseCallbackHandler):
        def on_llm_new_token(self, token: Any, **more: Any) -> None:
            heard.append(token)

    chat = model("hello")

    @entrypoint
    def flow(text: str) -> Any:
        return chat.invoke(text, {"callbacks": [Own()]}).content

    assert said(list(flow.stream("hi", stream_mode="messages"))) == ["hello"]
    assert heard == ["hello"]


def test_a_model_with_the_tag_nostream_is_not_shown() -> None:
    chat = model("silent", "loud")

    @entrypoint
    def flow(text: str) -> Any:
        chat.invoke(text, {"tags": ["nostream"]})
        return chat.invoke(text, {"tags": ["mine"]}).content

    chunks = list(flow.stream("hi", stream_mode="messages"))
    assert said(chunks) == ["loud"]
    assert chunks[0][1]["tags"] == ["mine"]


def test_whole_messages_in_a_result_come_once_for_each_id(colour: Colour) -> None:
    @colour.task
    async def one() -> Any:
        return AIMessage("one", id="1")

    @colour.task
    async def some() -> Any:
        return {
            "messages": [AIMessage("one", id="1"), AIMessage("two", id="2")],
            "last": AIMessage("3", id="3"),
            "n": 4,
        }

    @colour.entrypoint
    async def flow(messages: Any) -> Any:
        first = await result(one())
        return [*messages, first, *(await result(some()))["messages"], HumanMessage("five", id="5")]

    chunks = colour.stream(flow, [HumanMessage("old", id="0")], stream_mode="messages")
    assert [(message.id, metadata["langgraph_node"]) for message, metadata in chunks] == [
        ("1", "one"),
        ("2", "some"),
        ("3", "some"),
        ("5", "flow"),
    ]


def test_what_was_told_as_tokens_or_in_an_earlier_run_is_not_told_again(saver: Checkpointer) -> None:
    chat = model("first reply", "second reply")

    @task
    def call_model(messages: list[Any]) -> Any:
        return chat.invoke(messages)

    @entrypoint(checkpointer=saver)
    def flow(messages: list[Any], previous: list[Any] | None = None) -> Any:
        messages = add_messages(previous or [], messages)
        reply = call_model(messages).result()
        interrupt("fine?")
        return add_messages(messages, reply)

    def turn(text: str) -> list[str]:
        asked = said(list(flow.stream([HumanMessage(text)], thread(), stream_mode="messages")))
        return asked + said(list(flow.stream(Command(resume=1), thread(), stream_mode="messages")))

    assert turn("hi") == ["first", " ", "reply"]
    assert turn("and?") == ["second", " ", "reply"]


def test_a_nested_workflow_speaks_under_its_namespace_and_only_with_subgraphs() -> None:
    chat = model("inner", "outer", "inner", "outer")

    @entrypoint
    def inner(text: str) -> Any:
        return chat.invoke(text).content

    @entrypoint
    def outer(text: str) -> Any:
        return [inner.invoke(text), chat.invoke(text).content]

    assert said(list(outer.stream("hi", stream_mode="messages"))) == ["outer"]
    chunks = list(outer.stream("hi", stream_mode="messages", subgraphs=True))
    assert [(len(namespace), message.content) for namespace, (message, _) in chunks] == [(1, "inner"), (0, "outer")]


def test_runs_without_the_mode_do_not_make_models_stream() -> None:
    chat = model("hello big world")
    heard: list[str] = []

    class Own(BaseCallbackHandler):
        def on_llm_new_token(self, token: Any, **more: Any) -> None:
            heard.append(token)

    @entrypoint
    def flow(text: str) -> Any:
        return chat.invoke(text, {"callbacks": [Own()]}).content

    assert list(flow.stream("hi", stream_mode=["updates"])) == [("updates", {"flow": "hello big world"})]
    assert heard == []


def test_two_runs_side_by_side_hear_only_their_own_models() -> None:
    @entrypoint
    async def flow(text: str) -> Any:
        return (await model(text).ainvoke("hi")).content

    async def read(text: str) -> list[str]:
        return [message.content async for message, _ in flow.astream(text, stream_mode="messages")]

    async def both() -> list[list[str]]:
        return await asyncio.gather(read("a"), read("b"))

    assert asyncio.run(both()) == [["a"], ["b"]]


@pytest.mark.parametrize("mode", ["messages", "updates"])
def test_langchain_is_not_loaded_by_a_program_that_did_not(mode: str) -> None:
    program = f"""
import sys
import clew

@clew.entrypoint
def flow(x):
    clew.stream_message({{"content": "hi"}})
    return x

assert len(list(flow.stream(1, stream_mode={mode!r}))) == 1
assert not [name for name in sys.modules if name.startswith("langchain")]
"""
    subprocess.run([sys.executable, "-c", program], check=True)


class Heard(BaseCallbackHandler):
    """Notes what models are told of the run that calls them."""

    def __init__(self) -> None:
        self.models: list[tuple[dict[str, Any], list[str]]] = []

    def on_chat_model_start(self, *args: Any, metadata: Any = None, tags: Any = None, **more: Any) -> None:
        self.models.append((metadata, tags))


def test_callbacks_tags_and_metadata_of_the_config_reach_the_models(colour: Colour, saver: Checkpointer) -> None:
    chat, heard = model("one", "two"), Heard()

    @colour.task
    async def call_model(text: str) -> Any:
        return await chat.ainvoke(text) if colour.task_is_async else chat.invoke(text)

    @colour.entrypoint(checkpointer=saver)
    async def flow(text: str) -> Any:
        return (await result(call_model(text))).content

    config = thread(callbacks=[heard], tags=["mine"], metadata={"customer": "blue"})
    assert colour.invoke(flow, "hi", config) == "one"
    chunks = colour.stream(flow, "hi", config, stream_mode="messages")
    assert said(chunks) == ["two"]
    assert chunks[0][1]["tags"] == ["mine"]
    for metadata, tags in heard.models:
        assert metadata["customer"] == "blue"
        assert tags == ["mine"]
    assert len(heard.models) == 2
    chat.messages = iter([AIMessage("three")])
    assert chat.invoke("afterwards").content == "three"
    assert len(heard.models) == 2


def test_tools_read_the_runs_config(colour: Colour) -> None:
    @tool
    def who(config: RunnableConfig) -> str:
        """Tell whose turn it is."""
        return str(config["configurable"]["user_id"])

    @colour.task
    async def ask() -> Any:
        return await who.ainvoke({}) if colour.task_is_async else who.invoke({})

    @colour.entrypoint
    async def flow(x: int) -> Any:
        return await result(ask())

    assert colour.invoke(flow, 1, {"configurable": {"user_id": "ann"}}) == "ann"


def test_what_a_graph_around_a_run_knows_stays_known_below_it() -> None:
    @task
    def work(x: int) -> int:
        get_stream_writer()(f"at work on {x}")
        return x + 1

    @entrypoint
    def flow(x: int) -> Any:
        return work(x).result()

    graph = StateGraph(dict)
    graph.add_node("node", lambda state: {"x": flow.invoke(state["x"], {"configurable": {"user_id": "ann"}})})
    graph.add_edge(START, "node")
    assert list(graph.compile().stream({"x": 1}, stream_mode="custom")) == ["at work on 1"]
    assert var_child_runnable_config.get() is None
