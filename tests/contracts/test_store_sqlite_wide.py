"""What was written after a wide prefix was searched is found, or gone, in the next search, before it is sorted in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clew.storage.sqlite.items_store import SqliteStore
from clew.store.operations import Mode, PutOp
from contracts.store_contract import Letters


@pytest.fixture
def wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    """Give a store with a prefix that was searched, and counts as wide."""
    monkeypatch.setattr("clew.storage.sqlite.items_search.EXACT_ITEMS", 10)
    monkeypatch.setattr("clew.store.corpus._MOST_UNSORTED", 20)
    monkeypatch.setattr("clew.store.corpus._LATE_SHARE", 1)
    with SqliteStore(tmp_path / "a.db", index={"dims": 26, "embed": Letters()}, search_mode="hybrid") as store:
        notes = [{"text": f"note about a pear {n}", "who": f"user {n % 3}"} for n in range(60)]
        store.batch([PutOp(("m", str(n % 2)), str(n), note) for n, note in enumerate(notes)])
        store.search(("m",), query="pear")
        yield store


def keys(store: SqliteStore, query: str, mode: Mode = "hybrid") -> list[str]:
    return [item.key for item in store.search(("m",), query=query, limit=100, mode=mode)]


@pytest.mark.parametrize("mode", ["hybrid", "semantic", "keyword"])
def test_what_is_put_and_replaced_is_found_at_once(wide: SqliteStore, mode: Mode) -> None:
    wide.put(("m", "0"), "new", {"text": "zebra zoo"})
    assert keys(wide, "zebra zoo", mode)[0] == "new"
    wide.put(("m", "1"), "7", {"text": "zebra zoo quartz"})
    assert keys(wide, "zebra zoo quartz", mode)[:2] == ["7", "new"]
    assert len(keys(wide, "zebra", "hybrid")) == 61


def test_what_is_replaced_or_deleted_is_not_found_by_what_it_said(wide: SqliteStore) -> None:
    wide.put(("m", "1"), "7", {"text": "zebra"})
    wide.delete(("m", "0"), "8")
    assert not {"7", "8"} & set(keys(wide, "pear", "keyword"))
    wide.put(("m", "1"), "7", {"text": "lion"})
    wide.delete(("m", "1"), "7")
    assert not {"7", "8"} & set(keys(wide, "zebra lion pear"))
    assert len(keys(wide, "pear")) == 58


def test_what_is_put_is_favoured_by_its_short_fields(wide: SqliteStore) -> None:
    wide.put(("m", "0"), "new", {"text": "note about a pear 99", "who": "user 1"})
    by_why = {i.key: i.why for i in wide.search(("m",), query="user 1 and pears", limit=100, explain=True)}
    new, old = by_why["new"], by_why["6"]
    assert new is not None
    assert old is not None
    assert (new.context or 0) > (old.context or 0)
