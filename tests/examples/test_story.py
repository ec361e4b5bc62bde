"""The story that Clew exists for: a chatbot whose users are known across threads, and across processes.

It is told in every way that people write it: blocking and async; called and streamed; in memory and in a SQLite file;
with a checkpointer and a store or with a database; by meaning and by words; with dicts and with LangChain's messages.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from clew import Database, InMemorySaver, InMemoryStore, SqliteSaver, SqliteStore
from clew.integrations.local_embedder import LocalEmbedder
from support import story
from support.story import chatbot, on, text_of, turn

Verb = Literal["invoke", "stream", "ainvoke", "astream"]
Kept = dict[str, Any]

BOB = "Hi! Remember: my name is Bob"
ASK = "what is my name?"
MEANING: dict[str, Any] = {"embed": LocalEmbedder(), "dims": LocalEmbedder.dims}


@pytest.fixture(params=["by meaning", "by words"])
def index(request: pytest.FixtureRequest) -> dict[str, Any] | None:
    return MEANING if request.param == "by meaning" else None


@pytest.fixture(
    params=["saver and store in memory", "database in memory", "saver and store on SQLite", "database on SQLite"]
)
def kept(request: pytest.FixtureRequest, index: dict[str, Any] | None, tmp_path: Path) -> Iterator[Kept]:
    """Where threads and memories are kept: the arguments of @entrypoint."""
    path = str(tmp_path / "story.db")
    mode: Any = None if index else "hybrid"
    with ExitStack() as opened:
        match request.param:
            case "saver and store in memory":
                yield {"checkpointer": InMemorySaver(), "store": InMemoryStore(index=index, search_mode=mode)}
            case "saver and store on SQLite":
                saver = opened.enter_context(SqliteSaver.from_conn_string(path))
                yield {"checkpointer": saver, "store": opened.enter_context(SqliteStore(path, index, search_mode=mode))}
            case "database in memory":
                yield {"database": opened.enter_context(Database(":memory:", **(index or {})))}
            case _:
                yield {"database": opened.enter_context(Database(f"sqlite:///{path}", **(index or {})))}


@pytest.fixture(params=["invoke", "stream", "ainvoke", "astream"])
def verb(request: pytest.FixtureRequest) -> Verb:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=["passed", "injected", "fetched"])
def reach(request: pytest.FixtureRequest) -> story.Reach:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=["dicts", "LangChain's"])
def turn_of(request: pytest.FixtureRequest) -> Callable[[str, str], dict[str, Any]]:
    """Makes the input of the workflow."""
    if request.param == "dicts":
        return turn
    return lambda text, user: {"messages": [HumanMessage(text)], "user_id": user}


def say(workflow: Any, verb: Verb, given: dict[str, Any] | None, thread: str) -> Any:
    """Say something, by one of the four verbs, and return the reply."""
    if verb == "invoke":
        return workflow.invoke(given, on(thread))
    if verb == "ainvoke":
        return asyncio.run(workflow.ainvoke(given, on(thread)))
    if verb == "stream":
        [reply] = workflow.stream(given, on(thread), stream_mode="values")
        return reply
    return asyncio.run(_astreamed(workflow, given, thread))


async def _astreamed(workflow: Any, given: dict[str, Any] | None, thread: str) -> Any:
    [reply] = [chunk async for chunk in workflow.astream(given, on(thread), stream_mode="values")]
    return reply


def build(verb: Verb, reach: story.Reach, kept: Kept) -> Any:
    return chatbot("async" if verb.startswith("a") else "sync", reach, **kept)


def store_of(kept: Kept) -> Any:
    return kept["store"] if "store" in kept else kept["database"].store


def test_the_user_is_known_on_every_thread_and_nobody_else_is(
    verb: Verb, reach: story.Reach, kept: Kept, turn_of: Callable[[str, str], dict[str, Any]]
) -> None:
    workflow = build(verb, reach, kept)

    assert "Bob" in text_of(say(workflow, verb, turn_of(BOB, "1"), "1"))
    assert "Bob" in text_of(say(workflow, verb, turn_of(ASK, "1"), "2"))
    assert "Bob" not in text_of(say(workflow, verb, turn_of(ASK, "2"), "3"))

    assert [item.value for item in store_of(kept).search(("memories", "1"))] == [{"data": "Username is Bob"}]
    assert store_of(kept).search(("memories", "2")) == []


def test_a_thread_comes_back_with_its_messages(
    verb: Verb, kept: Kept, turn_of: Callable[[str, str], dict[str, Any]]
) -> None:
    workflow = build(verb, "passed", kept)
    say(workflow, verb, turn_of(BOB, "1"), "1")
    say(workflow, verb, turn_of(ASK, "1"), "1")

    state = workflow.get_state(on("1"))
    assert [text_of(message) for message in state.saved] == [BOB, "Hello Bob!", ASK, "Hello Bob!"]
    assert text_of(state.values) == "Hello Bob!"  # what was returned, beside what was saved


def test_dicts_from_the_user_and_langchain_replies_make_one_conversation(kept: Kept) -> None:
    """The guide's own mixture: the user's messages are dicts, the model answers with an AIMessage."""
    from clew import add_messages, entrypoint, task

    @task
    def call_model(messages: list[Any]) -> AIMessage:
        return AIMessage(f"You have said {sum(message.type == 'human' for message in messages)} things.")

    @entrypoint(**kept)
    def workflow(inputs: dict[str, Any], *, previous: list[Any] | None) -> Any:
        messages = add_messages(previous or [], [*inputs["messages"], AIMessage("(thinks)")])
        reply = call_model(messages).result()
        return entrypoint.final(value=reply, save=add_messages(messages, [reply]))

    workflow.invoke(turn(BOB), on("1"))
    assert workflow.invoke(turn(ASK), on("1")).content == "You have said 2 things."
    assert [message.type for message in workflow.get_state(on("1")).saved] == ["human", "ai", "ai"] * 2


def test_the_store_finds_by_meaning_what_shares_no_word() -> None:
    store = InMemoryStore(index=MEANING)
    store.put(("memories", "1"), "a", {"data": "The user adores dogs"})
    store.put(("memories", "1"), "b", {"data": "Invoices are due on Friday"})
    best = store.search(("memories", "1"), query="favourite pets")[0]
    assert best.key == "a"
    assert best.score is not None


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> story.Colour:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def process(colour: story.Colour, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Plays an act of the story in a process of its own, and returns what it printed."""

    def play(act: str, **environment: str) -> dict[str, Any]:
        command = [sys.executable, "-W", "error", story.__file__, colour, act, str(tmp_path / "story.db")]
        counting = {story.COUNT_IN: str(tmp_path / "counted")}
        played = subprocess.run(
            command, env={**os.environ, **counting, **environment}, capture_output=True, text=True, check=False
        )
        if environment.get(story.DIE):
            assert played.returncode == -signal.SIGKILL, played.stderr
            return {}
        assert played.returncode == 0, played.stderr
        return dict(json.loads(played.stdout))

    return play


def runs_of_the_task(folder: Path) -> int:
    return len((folder / "counted").read_text().splitlines())


def test_a_new_process_on_the_same_file_still_knows_bob(process: Callable[..., dict[str, Any]]) -> None:
    process("meet")
    later = process("ask")
    assert "Bob" in later["reply"]
    assert later["memories"] == [{"data": "Username is Bob"}]
    assert later["thread 1"] == [BOB, "Hello Bob!"]


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
def test_a_run_killed_after_its_task_goes_on_in_a_new_process_without_running_it_again(
    process: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    process("die", **{story.DIE: "yes"})
    assert runs_of_the_task(tmp_path) == 1

    later = process("go_on")

    assert runs_of_the_task(tmp_path) == 1
    assert later["reply"] == "Hello Bob!"
    assert later["memories"] == [{"data": "Username is Bob"}]  # written once, with the task's record
    assert later["thread 1"] == [BOB, "Hello Bob!"]
    assert "Bob" in process("ask")["reply"]
