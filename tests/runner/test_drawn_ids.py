"""Messages without an id get one from the run, so that a replay makes the same calls with the same messages."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from clew import Checkpointer, Command, add_messages, entrypoint, interrupt, task
from clew.engine.identity import drawn_id, seed_of

ON_1: dict[str, Any] = {"configurable": {"thread_id": "1"}}
HI = {"role": "user", "content": "hi"}


def talkative(saver: Checkpointer | None, seen: list[str]) -> Any:
    """Make a workflow that gives its messages to a task, asks, and gives them to another task."""

    @task
    def reply(messages: list[Any]) -> dict[str, Any]:
        seen.extend(message["id"] for message in messages)
        return {"role": "assistant", "content": "hello"}

    @entrypoint(checkpointer=saver)
    def talk(new: list[Any], *, previous: list[Any] | None) -> Any:
        messages = add_messages(previous or [], new)
        messages = add_messages(messages, reply(messages).result())
        answer = interrupt("go on?")
        messages = add_messages(messages, reply(messages).result())
        return entrypoint.final(value=answer, save=messages)

    return talk


def test_a_resumed_run_gives_its_messages_the_ids_they_had(saver: Checkpointer) -> None:
    seen: list[str] = []
    talk = talkative(saver, seen)
    talk.invoke([HI], ON_1)
    assert talk.invoke(Command(resume="yes"), ON_1) == "yes"
    first, again, reply = seen  # one call before the question, one after it
    assert first == again
    assert reply != first
    assert [message["id"] for message in talk.get_state(ON_1).saved][:2] == [first, reply]


def test_ids_differ_from_message_to_message_and_from_run_to_run(saver: Checkpointer) -> None:
    talk = talkative(saver, [])
    for _ in range(3):
        talk.invoke([dict(HI), dict(HI)], ON_1)
        talk.invoke(Command(resume=""), ON_1)
    ids = [message["id"] for message in talk.get_state(ON_1).saved]
    assert len(ids) == len(set(ids)) == 12
    assert {uuid.UUID(id).version for id in ids} == {4}


def test_another_answer_to_an_older_question_finds_the_same_messages(saver: Checkpointer) -> None:
    seen: list[str] = []
    talk = talkative(saver, seen)
    talk.invoke([HI], ON_1)
    asked = talk.get_state(ON_1).config
    talk.invoke(Command(resume="yes"), ON_1)
    assert talk.invoke(Command(resume="no"), asked) == "no"  # a fork, whose first call is replayed
    assert len(set(seen)) == 2


def test_threads_give_equal_messages_different_ids(saver: Checkpointer) -> None:
    seen: list[str] = []
    talk = talkative(saver, seen)
    for thread in ("1", "2"):
        talk.invoke([HI], {"configurable": {"thread_id": thread}})
    assert len(set(seen)) == 2


def test_without_a_checkpointer_ids_differ_from_run_to_run() -> None:
    seen: list[str] = []
    for _ in range(2):
        talkative(None, seen).invoke([dict(HI)])
    assert len(set(seen)) == 2


def test_async_bodies_draw_the_same_ids_whatever_finishes_first(saver: Checkpointer) -> None:
    seen: list[list[str]] = []

    @task
    async def reply(messages: list[Any]) -> str:
        seen.append([message.id for message in messages])
        return "hello"

    @entrypoint(checkpointer=saver)
    async def talk(texts: list[str]) -> Any:
        async def one(text: str) -> str:
            return await reply(add_messages([], [HumanMessage(text)]))

        await asyncio.gather(*map(one, texts))
        return interrupt("go on?")

    async def both() -> Any:
        await talk.ainvoke(["a", "b"], ON_1)
        return await talk.ainvoke(Command(resume="yes"), ON_1)

    assert asyncio.run(both()) == "yes"
    assert len(seen) == 2
    assert seen[0] != seen[1]


def test_a_task_that_runs_again_gives_its_messages_to_recorded_tasks_with_the_ids_they_had(saver: Checkpointer) -> None:
    seen: list[str] = []

    @task
    def inner(messages: list[Any]) -> None:
        seen.append(messages[0]["id"])

    @task
    def outer() -> Any:
        inner(add_messages([], [{"role": "user", "content": "hi"}])).result()
        return interrupt("go on?")

    @entrypoint(checkpointer=saver)
    def talk(_: None) -> Any:
        return outer().result()

    talk.invoke([], ON_1)
    assert talk.invoke(Command(resume="yes"), ON_1) == "yes"
    assert len(seen) == 1


@pytest.mark.parametrize(
    "other", [(("2", "w"), "p", b"x"), (("1", "v"), "p", b"x"), (("1", "w"), None, b"x"), (("1", "w"), "p", b"y")]
)
def test_a_seed_depends_on_thread_history_and_input(other: tuple[tuple[str, str], str | None, bytes]) -> None:
    assert seed_of(("1", "w"), "p", b"x") == seed_of(("1", "w"), "p", b"x")
    assert seed_of(("1", "w"), "p", b"x") != seed_of(*other)
    assert seed_of(("a", "bc"), None, b"") != seed_of(("ab", "c"), None, b"")


def test_a_drawn_id_has_the_form_of_a_random_uuid() -> None:
    id = drawn_id(b"seed", ":id#1")
    assert id == drawn_id(b"seed", ":id#1")
    assert id != drawn_id(b"seed", ":id#2")
    assert uuid.UUID(id).version == 4
