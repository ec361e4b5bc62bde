"""An agent remembers its users across threads, and never another's."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clew import Database, InMemorySaver, InMemoryStore, NotInWorkflow
from clew.agents import create_agent, memory_tools, recall
from clew.agents.history import tokens_in
from clew.errors import InvalidOption
from clew.testing import fake_clock
from support.scripted import Script, calls, results

MINE = ("memories", "{user_id}")


def of(user: str, thread: str = "1") -> dict[str, Any]:
    return {"configurable": {"thread_id": thread, "user_id": user}}


def system_prompt(model: Script) -> str:
    return "".join(m["content"] for m in model.asked[-1] if m["role"] == "system")


def test_what_was_kept_on_one_thread_is_recalled_on_another_with_age_and_source(tmp_path: Path) -> None:
    keeps = Script(calls(manage_memory={"content": "Likes tea."}), "Noted.")
    later = Script("Tea, then.")
    with fake_clock(datetime(2030, 1, 1, tzinfo=UTC)) as clock, Database(tmp_path / "a.db") as database:
        reply = create_agent(keeps, memory=MINE, database=database).invoke("I like tea", of("bob", "7"))
        clock.advance(3 * 86400)
        agent = create_agent(later, prompt="Be kind.", memory=MINE, database=database)
        agent.invoke("What tea do I like?", of("bob", "8"))
        told = system_prompt(later)
        agent.invoke("What tea do I like?", of("eve", "9"))
        assert system_prompt(later) == "Be kind."
    [kept] = results(reply.messages)
    key = kept.removeprefix("Kept as ").removesuffix(".")
    assert told.splitlines() == [
        "Be kind.",
        "",
        "What you remember of earlier conversations:",
        f"- [{key}] Likes tea. (3 days ago, thread 7)",
    ]


def test_memories_are_corrected_forgotten_and_looked_up() -> None:
    store = InMemoryStore()
    store.put(("memories", "bob"), "k", {"content": "Likes tea."})
    store.put(("memories", "eve"), "k", {"content": "Likes gin."})
    model = Script(
        calls(search_memory={"query": "likes"}),
        calls(manage_memory={"key": "k", "content": "Likes coffee."}),
        calls(search_memory={"query": "likes"}),
        calls(manage_memory={"key": "k"}),
        calls(manage_memory={"key": "other"}),
        calls(manage_memory={"key": "", "content": ""}),
        "ok",
    )
    agent = create_agent(model, memory_tools(MINE), store=store, checkpointer=InMemorySaver())
    told = results(agent.invoke("go", of("bob")).messages)
    assert told[0] == '["[k] Likes tea. (just now)"]'
    assert told[1] == "Kept as k."
    assert told[2] == '["[k] Likes coffee. (just now, thread 1)"]'
    assert told[3] == "Forgot k."
    assert "no memory with the key 'other'" in told[4]
    assert told[5] == "Error: give content, key or both"
    assert [item.namespace for item in store.search(())] == [("memories", "eve")]


def test_the_namespace_is_no_parameter_and_comes_from_the_config() -> None:
    model = Script(calls(manage_memory={"content": "x", "user_id": "eve"}), "ok")
    agent = create_agent(model, memory_tools(MINE), store=InMemoryStore())
    [told] = results(agent.invoke("go", of("bob")).messages)
    assert told.startswith("Error: ValueError: user_id")
    with pytest.raises(InvalidOption, match="needs 'user_id' in config"):
        create_agent(Script("ok"), memory=MINE, store=InMemoryStore()).invoke("go")


def test_a_namespace_is_a_tuple() -> None:
    for wrong in ("memories", ()):
        with pytest.raises(InvalidOption, match="a tuple of labels"):
            create_agent(Script("ok"), memory=wrong)


@pytest.mark.parametrize("label", ["{user-id}", "{}", "{user_id", "of {user.id}"])
def test_a_place_that_could_not_be_filled_is_refused_and_not_shared_by_all_users(label: str) -> None:
    with pytest.raises(InvalidOption, match=r"is no place such as '\{user_id\}'"):
        create_agent(Script("ok"), memory=("memories", label))


def test_memory_needs_a_store() -> None:
    with pytest.raises(NotInWorkflow, match="no store was configured"):
        create_agent(Script("ok"), memory=MINE).invoke("go", {"configurable": {"user_id": "bob"}})


def test_recall_stays_within_its_budget() -> None:
    store = InMemoryStore()
    for number in range(10):
        store.put(("m", "bob"), str(number), {"content": "word " * 20})
    model = Script("ok")
    agent = create_agent(model, prompt=recall(("m", "{user_id}"), tokens=101), store=store)
    agent.invoke("go", of("bob"))
    assert len(system_prompt(model).splitlines()) == 1 + 3
    assert tokens_in(system_prompt(model)) <= 101


def test_a_memory_that_is_too_long_keeps_no_other_from_being_recalled() -> None:
    store = InMemoryStore()
    store.put(("m", "bob"), "long", {"content": "tea " * 1000})
    store.put(("m", "bob"), "short", {"content": "Likes tea."})
    model = Script("ok")
    create_agent(model, prompt=recall(("m", "{user_id}"), tokens=60), store=store).invoke("tea", of("bob"))
    assert "Likes tea." in system_prompt(model)
    assert "tea tea" not in system_prompt(model)


def test_tokens_may_be_counted_by_the_models_own_rules() -> None:
    store = InMemoryStore()
    for number in range(10):
        store.put(("m", "bob"), str(number), {"content": "word " * 20})
    counted = recall(("m", "{user_id}"), tokens=20, count_tokens=lambda text: len(text.splitlines()) * 6)
    model = Script("ok")
    create_agent(model, prompt=counted, store=store).invoke("go", of("bob"))
    assert len(system_prompt(model).splitlines()) == 1 + 2
