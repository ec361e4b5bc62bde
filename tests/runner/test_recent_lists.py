"""The lists of recent turns are found without the database, within bounds, and never in place of what is there."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from clew import Database, InMemorySaver, Workflow, entrypoint
from clew.codec.growing import Chain, Link
from clew.runner.recent import RecentChains, recent_chains

CONFIG: dict[str, Any] = {"configurable": {"thread_id": "1"}}


def chain_of(*ids: str, size: int = 1000) -> Chain:
    return Chain(data=b"x" * size, links=[Link(id, 1, size // len(ids)) for id in ids])


def writes(database: Database) -> Workflow[Any, Any]:
    @entrypoint(database=database)
    def note(text: str, *, previous: list[dict[str, str]] | None = None) -> Any:
        notes = previous or []
        if text == "change the first":
            notes[0]["text"] = "changed"
        else:
            notes.append({"text": text.ljust(400, "x")})
        if text.startswith("fail"):
            raise RuntimeError(text)
        return entrypoint.final(value=len(notes), save=notes)

    return note


def read(flow: Workflow[Any, Any]) -> list[str]:
    return [note["text"].rstrip("x") for note in flow.get_state(CONFIG).saved]


def test_a_list_takes_the_place_of_the_one_it_grew_from() -> None:
    recent = RecentChains()
    recent.note(chain_of("a"))
    recent.note(chain_of("a", "b"))
    assert recent.find("a") is None
    assert recent.find("b") is not None


def test_the_oldest_lists_go_when_there_are_too_many_bytes() -> None:
    recent = RecentChains(most_bytes=5000)
    for id in "abcdefgh":
        recent.note(chain_of(id))
    assert [id for id in "abcdefgh" if recent.find(id)] == ["e", "f", "g", "h"]
    recent.note(chain_of("i", size=6000))
    assert not any(recent.find(id) for id in "abcdefghi")


def test_lists_go_with_their_checkpointer() -> None:
    saver = InMemorySaver()
    recent_chains(saver).note(chain_of("a"))
    assert recent_chains(saver).find("a") is not None
    gone = weakref.ref(recent_chains(saver))
    del saver
    gc.collect()
    assert gone() is None


def test_what_a_failed_run_changed_is_not_seen_by_the_next(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'db'}") as database:
        flow = writes(database)
        flow.invoke("one", CONFIG)
        with pytest.raises(RuntimeError):
            flow.invoke("fail here", CONFIG)
        flow.invoke("two", CONFIG)
        assert read(flow) == ["one", "two"]


def test_what_a_caller_changes_in_a_returned_list_is_not_seen_by_the_next_run(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'db'}") as database:

        @entrypoint(database=database)
        def note(text: str, *, previous: list[dict[str, str]] | None = None) -> list[dict[str, str]]:
            return [*(previous or []), {"text": text.ljust(400, "x")}]

        for text in ("one", "two"):
            note.invoke(text, CONFIG)[0]["text"] = "changed outside"
        assert [one["text"].rstrip("x") for one in note.invoke("three", CONFIG)] == ["one", "two", "three"]


def test_a_change_in_place_is_kept_and_the_old_value_stays(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'db'}") as database:
        flow = writes(database)
        for text in ("one", "two", "change the first", "three"):
            flow.invoke(text, CONFIG)
        assert read(flow) == ["changed", "two", "three"]
        ends = [state.saved for state in flow.get_state_history(CONFIG) if not state.next]
        assert [[note["text"].rstrip("x") for note in saved] for saved in ends] == [
            ["changed", "two", "three"],
            ["changed", "two"],
            ["one", "two"],
            ["one"],
        ]


def test_a_turn_taken_by_another_process_is_seen(tmp_path: Path) -> None:
    where = f"sqlite:///{tmp_path / 'db'}"
    with Database(where) as here, Database(where) as there:
        for text, database in zip("abcdef", (here, there, there, here, here, there), strict=True):
            writes(database).invoke(text, CONFIG)
        assert read(writes(here)) == read(writes(there)) == list("abcdef")


def test_a_thread_that_was_deleted_begins_anew(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'db'}") as database:
        flow = writes(database)
        flow.invoke("one", CONFIG)
        database.checkpointer.delete_thread("1")
        flow.invoke("two", CONFIG)
        assert read(flow) == ["two"]
