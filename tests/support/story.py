"""The chatbot of the story in every form that people give it, and as a process of its own that may be killed.

    python story.py COLOUR ACT FILE

ACT is "meet" (Bob introduces himself), "die" (the same, killed after the task and before the run ends), "go_on" (a
killed run is continued) or "ask" (a new thread asks for his name). What is said is printed as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from clew import BaseStore, Database, add_messages, entrypoint, get_store, task

Reach = Literal["passed", "injected", "fetched"]
Colour = Literal["sync", "async"]

COUNT_IN = "STORY_COUNT_IN"  # environment: a file that gets one line for every run of the task
DIE = "STORY_DIE"  # environment: kill this process after the task and before the run ends


def text_of(message: Any) -> str:
    """Return the text of a message, be it a dict or LangChain's."""
    return str(message["content"] if isinstance(message, dict) else message.content)


def answer(messages: list[Any], known: list[str]) -> Any:
    """Stand for a chat model: it is told what is known, and says a name if it finds one there."""
    system = "You are a helpful assistant talking to the user. User info: " + "\n".join(known)
    said = "Hello Bob!" if "Bob" in system + text_of(messages[-1]) else "I don't know your name."
    if isinstance(messages[-1], dict):
        return {"role": "assistant", "content": said}
    from langchain_core.messages import AIMessage

    return AIMessage(said)


def count() -> None:
    if path := os.environ.get(COUNT_IN):
        with Path(path).open("a") as counted:
            counted.write("call_model\n")


def think(messages: list[Any], store: BaseStore, user_id: str) -> Any:
    """Do what the guide's task does, blocking."""
    count()
    namespace, asked = ("memories", user_id), text_of(messages[-1])
    known = [item.value["data"] for item in store.search(namespace, query=asked)]
    if "remember" in asked.lower():
        store.put(namespace, str(uuid.uuid4()), {"data": "Username is Bob"})
    return answer(messages, known)


async def athink(messages: list[Any], store: BaseStore, user_id: str) -> Any:
    """Do what the guide's task does, async."""
    count()
    namespace, asked = ("memories", user_id), text_of(messages[-1])
    known = [item.value["data"] for item in await store.asearch(namespace, query=asked)]
    if "remember" in asked.lower():
        await store.aput(namespace, str(uuid.uuid4()), {"data": "Username is Bob"})
    return answer(messages, known)


def calls(reach: Reach) -> Callable[..., Any]:
    """Return a function that calls the blocking task, which reaches the store in the given way."""

    @task
    def call_model(messages: list[Any], store: BaseStore, user_id: str) -> Any:
        return think(messages, store, user_id)

    @task(name="call_model")
    def with_injected(messages: list[Any], user_id: str, *, store: BaseStore) -> Any:
        return think(messages, store, user_id)

    @task(name="call_model")
    def with_fetched(messages: list[Any], user_id: str) -> Any:
        return think(messages, get_store(), user_id)

    return {
        "passed": call_model,
        "injected": lambda messages, store, user_id: with_injected(messages, user_id),
        "fetched": lambda messages, store, user_id: with_fetched(messages, user_id),
    }[reach]


def acalls(reach: Reach) -> Callable[..., Any]:
    """Return a function that calls the async task, which reaches the store in the given way."""

    @task
    async def call_model(messages: list[Any], store: BaseStore, user_id: str) -> Any:
        return await athink(messages, store, user_id)

    @task(name="call_model")
    async def with_injected(messages: list[Any], user_id: str, *, store: BaseStore) -> Any:
        return await athink(messages, store, user_id)

    @task(name="call_model")
    async def with_fetched(messages: list[Any], user_id: str) -> Any:
        return await athink(messages, get_store(), user_id)

    return {
        "passed": call_model,
        "injected": lambda messages, store, user_id: with_injected(messages, user_id),
        "fetched": lambda messages, store, user_id: with_fetched(messages, user_id),
    }[reach]


def chatbot(colour: Colour, reach: Reach = "passed", **kept: Any) -> Any:
    """Make the workflow.

    Args:
        colour: whether workflow and task block or are async.
        reach: how the task comes by the store.
        kept: where threads and memories are kept: `checkpointer` and `store`, or `database`.
    """
    return _async_chatbot(reach, **kept) if colour == "async" else _sync_chatbot(reach, **kept)


def _sync_chatbot(reach: Reach, **kept: Any) -> Any:
    call_model = calls(reach)

    @entrypoint(**kept)
    def workflow(inputs: dict[str, Any], *, previous: list[Any] | None, store: BaseStore) -> Any:
        messages = add_messages(previous or [], inputs["messages"])
        reply = call_model(messages, store, inputs["user_id"]).result()
        maybe_die()
        return entrypoint.final(value=reply, save=add_messages(messages, [reply]))

    return workflow


def _async_chatbot(reach: Reach, **kept: Any) -> Any:
    call_model = acalls(reach)

    @entrypoint(**kept)
    async def workflow(inputs: dict[str, Any], *, previous: list[Any] | None, store: BaseStore) -> Any:
        messages = add_messages(previous or [], inputs["messages"])
        reply = await call_model(messages, store, inputs["user_id"])
        maybe_die()
        return entrypoint.final(value=reply, save=add_messages(messages, [reply]))

    return workflow


def maybe_die() -> None:
    if DIE in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)


def turn(text: str, user: str = "1") -> dict[str, Any]:
    """Return the workflow's input."""
    return {"messages": [{"role": "user", "content": text}], "user_id": user}


def on(thread: str) -> dict[str, Any]:
    """Return the config that names a thread."""
    return {"configurable": {"thread_id": thread}}


ACTS: dict[str, tuple[dict[str, Any] | None, str]] = {
    "meet": (turn("Hi! Remember: my name is Bob"), "1"),
    "die": (turn("Hi! Remember: my name is Bob"), "1"),
    "go_on": (None, "1"),
    "ask": (turn("what is my name?"), "2"),
}


def main(colour: Colour, act: str, path: str) -> None:
    given, thread = ACTS[act]
    with Database(f"sqlite:///{path}") as database:
        workflow = chatbot(colour, database=database)
        if colour == "async":
            reply = asyncio.run(workflow.ainvoke(given, on(thread)))
        else:
            reply = workflow.invoke(given, on(thread))
        memories = [item.value for item in database.store.search(("memories", "1"))]
        thread_1 = [text_of(message) for message in workflow.get_state(on("1")).saved]
    print(json.dumps({"reply": text_of(reply), "memories": memories, "thread 1": thread_1}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])  # type: ignore[arg-type]
