"""Fields that are declared for filters: the same items are found, and nothing of what was stays in the index."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import InvalidFilter, UsageError
from clew.storage.sqlite.items_store import SqliteStore
from clew.store.filters import matches, parse_filter
from contracts.store_contract import Clock, filters, memories

FIELDS = ["a", "b", "c-d", "a.a", "a.b", "kind"]


@settings(max_examples=100, deadline=None)
@given(values=st.lists(memories, min_size=1, max_size=8), condition=filters)
def test_the_index_changes_nothing_of_what_a_filter_means(values: list[dict[str, Any]], condition: Any) -> None:
    with SqliteStore(":memory:", filter_fields=FIELDS) as store:
        for n, value in enumerate(values):
            store.put(("m", str(n % 2)), str(n % 5), {"before": n})
            store.put(("m", str(n % 2)), str(n % 5), value)
        kept = {(item.namespace, item.key): item.value for item in store.search((), limit=100)}
        expected = {place for place, value in kept.items() if matches(parse_filter(condition), value)}
        for prefix in ((), ("m", "0")):
            found = {(item.namespace, item.key) for item in store.search(prefix, filter=condition, limit=100)}
            assert found == {place for place in expected if place[0][: len(prefix)] == prefix}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "a.db", filter_fields=FIELDS) as opened:
        yield opened


def entries(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM clew_item_fields").fetchone()[0])


def keys(store: SqliteStore, **condition: Any) -> set[str]:
    return {item.key for item in store.search((), filter=condition, limit=100)}


def test_fields_declared_later_index_what_is_there_already(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "a.db") as store:
        store.put(("m",), "1", {"kind": "note"})
    assert entries(tmp_path / "a.db") == 0
    with SqliteStore(tmp_path / "a.db", filter_fields=["kind"]) as store:
        assert keys(store, kind="note") == {"1"}
    assert entries(tmp_path / "a.db") == 1


def test_a_program_that_declares_nothing_keeps_the_index(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "a.db", filter_fields=["kind"]) as store, SqliteStore(tmp_path / "a.db") as other:
        other.put(("m",), "1", {"kind": "note"})
        assert keys(store, kind="note") == {"1"}
        other.put(("m",), "1", {"kind": "task"})
        assert keys(store, kind="note") == set()
        assert keys(store, kind="task") == {"1"}


def test_nothing_of_a_deleted_or_swept_item_stays(tmp_path: Path) -> None:
    clock = Clock()
    with SqliteStore(tmp_path / "a.db", filter_fields=["kind"], clock=clock) as store:
        store.put(("m",), "1", {"kind": "note"})
        store.put(("m",), "2", {"kind": "note"}, ttl=1)
        store.delete(("m",), "1")
        clock.move(minutes=2)
        assert keys(store, kind="note") == set()
        store.sweep_ttl()
    assert entries(tmp_path / "a.db") == 0


def test_a_filter_for_a_field_goes_with_a_query(tmp_path: Path) -> None:
    index = {"embed": lambda texts: [[1.0, float(len(text))] for text in texts]}
    with SqliteStore(tmp_path / "a.db", index=index, filter_fields=["kind"]) as store:
        for n in range(20):
            store.put(("m", str(n % 3)), str(n), {"kind": "note" if n % 5 == 0 else "task", "text": f"number {n}"})
        found = store.search(("m",), query="number", filter={"kind": "note"})
        assert {item.key for item in found} == {"0", "5", "10", "15"}


@pytest.mark.parametrize("value", ["x" * 5000, 1.5, None, [1], {"a": 1}, 2**62])
def test_values_that_are_not_in_the_index_are_found_too(store: SqliteStore, value: Any) -> None:
    store.put(("m",), "1", {"kind": value})
    store.put(("m",), "2", {"kind": "other"})
    assert keys(store, kind=value) == {"1"}


@pytest.mark.parametrize(
    ("fields", "error"), [("kind", UsageError), ([5], UsageError), (["tags.0"], UsageError), (["a b"], InvalidFilter)]
)
def test_what_is_no_field_is_refused(tmp_path: Path, fields: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        SqliteStore(tmp_path / "a.db", filter_fields=fields)
