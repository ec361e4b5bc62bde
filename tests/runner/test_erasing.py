"""Erasing somebody leaves nothing of them, and everything of the others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import clew
from clew import Conflict, Database, EncryptionKeys, entrypoint, get_store, interrupt, task
from clew.engine.records import Queued, ThreadKey
from clew.errors import InvalidNamespaceError, InvalidOption
from clew.runner.submitting import CallOptions
from clew.storage.queueing import Enqueue, ListQueue

SECRETS = ["quokka", "zanzibar", "ann-the-first", "thread-of-ann", "once-of-ann", "marmalade", "obsidian"]


def letters(texts: list[str]) -> list[list[float]]:
    """Vectors that count letters."""
    return [[float(text.count(letter)) for letter in "aeinorst"] for text in texts]


@pytest.fixture(params=["memory", "sqlite", "encrypted"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    where = ":memory:" if request.param == "memory" else tmp_path / "app.db"
    keys = EncryptionKeys([EncryptionKeys.new_key()]) if request.param == "encrypted" else None
    with Database(where, embed=letters, encryption=keys) as opened:
        yield opened


@task
def remember(user: str, text: str) -> str:
    get_store().put(("memories", user), "fact", {"data": text})
    get_store().put(("shared",), "last", {"data": "somebody was here"})
    return f"kept {text}"


def chat_on(database: Database) -> Any:
    @entrypoint(database=database)
    def chat(turn: dict[str, str], *, previous: Any = None) -> Any:
        return [*(previous or []), remember(turn["user"], turn["text"]).result()]

    return chat


def config(thread_id: str, user: str | None = None) -> Any:
    return {"configurable": {"thread_id": thread_id} | ({"user_id": user} if user else {})}


def tell(database: Database, thread_id: str, user: str, *texts: str) -> None:
    for text in texts:
        chat_on(database).invoke({"user": user, "text": text}, config(thread_id, user))


def traces(folder: Path, texts: list[str]) -> list[str]:
    """Which texts are found in any file of a folder."""
    content = b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
    return [text for text in texts if text.encode() in content]


def test_threads_memories_versions_and_vectors_of_a_subject_go(database: Database) -> None:
    tell(database, "1", "ann", "quokka", "zanzibar")
    tell(database, "2", "bob", "obsidian")
    erased = clew.erase(database, "ann")
    assert (erased.threads, erased.runs, erased.items, erased.versions, erased.vectors) == (1, 2, 1, 1, 1)
    assert (erased.thread_ids, erased.namespaces) == (["1"], [("memories", "ann")])
    chat = chat_on(database)
    assert not chat.get_state(config("1")).exists
    assert chat.get_state(config("2")).values == ["kept obsidian"]
    assert database.store.get(("memories", "ann"), "fact") is None
    assert database.store.history(("memories", "ann"), "fact") == []
    assert [item.key for item in database.store.search(("memories",))] == ["fact"]


def test_nothing_is_left_in_the_files(tmp_path: Path) -> None:
    with Database(tmp_path / "app.db", embed=letters) as database:
        tell(database, "thread-of-ann", "ann-the-first", *SECRETS, "x" * 20_000)
        chat_on(database).update_state(config("once-of-ann"), ["quokka"])
        database.checkpointer.delete_thread("once-of-ann")
        for number in range(50):
            tell(database, "2", "bob", f"something of Bob {number} " * 20)
        database.store.put(("memories", "ann-the-first", "old"), "k", {"data": "marmalade"}, ttl=0.00001)
        database.store.put(("memories", "ann-the-first"), "gone", {"data": "marmalade"})
        database.store.delete(("memories", "ann-the-first"), "gone")
        assert traces(tmp_path, SECRETS) == SECRETS
        clew.erase(database, "ann-the-first")
        assert traces(tmp_path, SECRETS) == []
        assert len(chat_on(database).get_state(config("2")).values) == 50
    assert traces(tmp_path, [*SECRETS, "something of Bob 49"]) == ["something of Bob 49"]


def test_a_dry_run_counts_the_same_and_leaves_all(database: Database) -> None:
    tell(database, "1", "ann", "quokka", "zanzibar")
    counted = clew.erase(database, "ann", dry_run=True)
    assert chat_on(database).get_state(config("1")).exists
    assert len(database.store.history(("memories", "ann"), "fact")) == 2
    assert clew.erase(database, "ann") == counted
    assert clew.erase(database, "ann") == clew.Erased()


def test_a_thread_that_names_nobody_belongs_to_the_one_it_is_called_like(database: Database) -> None:
    chat = chat_on(database)
    chat.invoke({"user": "x", "text": "y"}, config("ann"))
    chat.invoke({"user": "x", "text": "y"}, config("bob", "ann"))
    chat.invoke({"user": "x", "text": "y"}, config("ann-2"))
    assert clew.erase(database, "bob", dry_run=True).thread_ids == []
    assert clew.erase(database, "ann", dry_run=True).thread_ids == ["ann", "bob"]


def test_a_thread_belongs_to_everybody_whom_either_part_of_its_configs_names(database: Database) -> None:
    user = uuid.uuid4()
    both = {"configurable": {"thread_id": "a", "user_id": user}, "metadata": {"user_id": "crm-1"}}
    chat_on(database).invoke({"user": "x", "text": "y"}, both)
    options = CallOptions(config=both)
    place = Queued(id="q", thread=ThreadKey("b", "chat"), config=options.encode(), created_s=1.0)
    database.checkpointer.execute(Enqueue(place))
    for subject in (str(user), "crm-1"):
        assert clew.erase(database, subject, dry_run=True).thread_ids == ["a", "b"]


def test_a_subject_matches_as_a_whole_and_under_the_keys_that_are_named(database: Database) -> None:
    chat = chat_on(database)
    chat.invoke({"user": "1", "text": "a"}, config("a", "1"))
    chat.invoke({"user": "11", "text": "a"}, config("b", "11"))
    chat.invoke({"user": "2", "text": "a"}, {"configurable": {"thread_id": "c", "user_id": "2"}, "metadata": {"n": 1}})
    assert clew.erase(database, "1", dry_run=True).thread_ids == ["a"]
    assert clew.erase(database, "1", keys=["n"], dry_run=True).thread_ids == ["c"]
    assert clew.erase(database, "1", dry_run=True).namespaces == [("memories", "1")]
    assert clew.erase(database, "%", dry_run=True) == clew.Erased()


def test_namespaces_can_be_named_instead(database: Database) -> None:
    store = database.store
    for namespace in (("memories", "1"), ("books", "1", "chapters")):
        store.put(namespace, "k", {"data": "x"})
    assert clew.erase(database, "1", dry_run=True).namespaces == [("books", "1"), ("memories", "1")]
    erased = clew.erase(database, "1", namespaces=[("memories", "1")])
    assert (erased.items, erased.namespaces) == (1, [("memories", "1")])
    assert store.list_namespaces() == [("books", "1", "chapters")]


def test_calls_that_wait_go_too(database: Database) -> None:
    saver, thread = database.checkpointer, ThreadKey("new", "chat")
    options = CallOptions(config={"configurable": {"thread_id": "new", "user_id": "ann"}})
    saver.execute(Enqueue(Queued(id="q", thread=thread, config=options.encode(), created_s=1.0)))
    erased = clew.erase(database, "ann")
    assert (erased.queued, erased.thread_ids) == (1, ["new"])
    assert not saver.execute(ListQueue(thread))


def test_who_wrote_what_is_forgotten_where_it_stays(database: Database) -> None:
    tell(database, "thread-of-ann", "ann", "quokka")
    (before,) = database.store.history(("shared",), "last")
    assert before.written_by is not None
    clew.erase(database, "ann")
    (after,) = database.store.history(("shared",), "last")
    assert (after.value, after.written_by) == ({"data": "somebody was here"}, None)


def test_a_run_under_way_writes_nothing_any_more(database: Database) -> None:
    @entrypoint(database=database)
    def flow(text: str) -> str:
        clew.erase(database, "ann")
        return remember("ann", text).result()

    with pytest.raises(Conflict):
        flow.invoke("late", config("1", "ann"))
    assert database.store.search(("memories",)) == []
    assert not flow.get_state(config("1")).exists


def test_a_question_that_waits_goes_too(database: Database) -> None:
    @entrypoint(database=database)
    def flow(text: str) -> Any:
        return interrupt(text)

    flow.invoke("quokka", config("1", "ann"))
    assert clew.erase(database, "ann").runs == 1
    with pytest.raises(ValueError, match="nothing"):
        flow.invoke(None, config("1"))


def test_it_can_be_awaited(database: Database) -> None:
    tell(database, "1", "ann", "quokka")
    assert asyncio.run(clew.aerase(database, "ann")).threads == 1


@pytest.mark.parametrize(("subject", "keys"), [("", ["user_id"]), (1, ["user_id"]), ("ann", "user_id")])
def test_a_subject_has_to_be_named(database: Database, subject: Any, keys: Any) -> None:
    with pytest.raises(InvalidOption):
        clew.erase(database, subject, keys=keys)


def test_compacting_makes_the_file_smaller(tmp_path: Path) -> None:
    with contextlib.closing(Database(tmp_path / "app.db")) as database:
        for number in range(30):
            tell(database, f"{number}", "ann", os.urandom(10_000).hex())
        for number in range(30):
            database.checkpointer.delete_thread(f"{number}")
        size = (tmp_path / "app.db").stat().st_size
        database.compact()
        assert (tmp_path / "app.db").stat().st_size < size * 0.7


@pytest.mark.parametrize("namespaces", ["ab", ["ab"], ["memories"]])
def test_a_text_is_no_namespace_to_erase(tmp_path: Path, namespaces: Any) -> None:
    with Database(tmp_path / "app.db") as database:
        database.store.put(("a", "b"), "k", {"v": 1})
        with pytest.raises(InvalidNamespaceError, match="tuple"):
            clew.erase(database, "ann", namespaces=namespaces)
        assert database.store.get(("a", "b"), "k") is not None
