"""How much a memory store does, in statements and in steps of SQLite's machine: it must not grow with the store."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from clew.storage.sqlite.items_store import SqliteStore
from clew.store.operations import PutOp
from support.counting import steps

FEW, MANY = 450, 4_500


class Letters:
    def __init__(self, at_once: bool) -> None:
        self.at_once = at_once

    def __call__(self, texts: list[str]) -> list[list[float]]:
        return [[1.0 + text.count(letter) for letter in "abcdefgh"] for text in texts]


def filled(path: Path, size: int, *, at_once: bool = True, **settings: Any) -> SqliteStore:
    """Give a store of items in namespaces of ten, every hundredth of them Ann's."""
    index = {"embed": Letters(at_once)}
    store = SqliteStore(path, index=index, search_mode="hybrid", history=False, **settings)
    values = [{"text": f"note {n}", "of": {"user": "Ann" if n % 100 == 0 else f"user {n}"}} for n in range(size)]
    store.batch([PutOp(("u", str(n // 10)), str(n), value) for n, value in enumerate(values)])
    return store


def read_steps(store: SqliteStore, work: Callable[[SqliteStore], object]) -> int:
    return steps([store.database._connect_reader()], lambda: work(store))


def write_steps(store: SqliteStore, work: Callable[[SqliteStore], object]) -> int:
    return steps([store.database._connect_writer()], lambda: work(store))


def statements(store: SqliteStore, work: Callable[[], object]) -> int:
    """Count the statements of some work; what triggers do belongs to the statement that fires them."""
    seen: list[str] = []
    connections = (store.database._connect_writer(), store.database._connect_reader())
    for connection in connections:
        connection.set_trace_callback(seen.append)
    work()
    for connection in connections:
        connection.set_trace_callback(None)
    return len(list(groupby(seen)))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[SqliteStore]:
    folder = tmp_path_factory.mktemp("stores")
    return [filled(folder / f"{size}.db", size, filter_fields=["of.user"]) for size in (FEW, MANY)]


@pytest.mark.parametrize(
    "read",
    [
        lambda store: store.get(("u", "3"), "33"),
        lambda store: store.search(("u", "3")),
        lambda store: store.search(("u",)),
        lambda store: store.search((), limit=20, offset=20),
        lambda store: store.search(("u",), filter={"of.user": "Ann"}, limit=3),
        lambda store: store.search(("u",), filter={"of.user": "user 33"}),
        lambda store: store.search(("u",), filter={"of.user": "nobody"}),
        lambda store: store.search(("u", "3"), filter={"of.user": "user 33"}),
        lambda store: store.list_namespaces(limit=10),
        lambda store: store.list_namespaces(prefix=("u", "3")),
        lambda store: store.list_namespaces(max_depth=1),
    ],
)
def test_a_read_takes_as_many_steps_in_a_store_ten_times_as_large(
    stores: list[SqliteStore], read: Callable[[SqliteStore], object]
) -> None:
    few, many = (read_steps(store, read) for store in stores)
    assert many <= 1.2 * few + 30


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.put(("u", "3"), "new", {"of": {"user": "Ann"}}),
        lambda store: store.put(("u", "3"), "33", {"of": {"user": "Ann"}}),
        lambda store: store.delete(("u", "3"), "33"),
        lambda store: store.sweep_ttl(),
        lambda store: store.delete_namespace(("u", "3")),
    ],
)
def test_a_write_takes_as_many_steps_in_a_store_ten_times_as_large(
    tmp_path: Path, write: Callable[[SqliteStore], object]
) -> None:
    few, many = (
        write_steps(filled(tmp_path / f"{size}.db", size, filter_fields=["of.user"]), write) for size in (FEW, MANY)
    )
    assert many <= 1.2 * few + 5


@pytest.mark.parametrize("most_unrounded", [0, 10_000])
def test_a_search_after_a_put_reads_that_item_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_unrounded: int
) -> None:
    monkeypatch.setattr("clew.storage.sqlite.items_search._MOST_UNROUNDED", most_unrounded)
    taken = []
    for size in (FEW, MANY):
        store = filled(tmp_path / f"{size}.db", size)
        anew = read_steps(store, lambda store: store.search(("u",), query="note"))
        again = read_steps(store, lambda store: store.search(("u",), query="note"))
        store.put(("u", "7"), "new", {"text": "note about a zebra"})
        taken.append(read_steps(store, lambda store: store.search(("u",), query="zebra", limit=1)))
        assert store.search(("u",), query="zebra", limit=1)[0].key == "new"
        assert max(again, taken[-1]) < anew / 5
    assert taken[1] <= 1.2 * taken[0] + 5


def test_how_many_statements_an_operation_takes(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db", 100)
    one = ("u", "3")
    assert statements(store, lambda: store.get(one, "33")) == 1
    assert statements(store, lambda: store.search(one)) == 4
    assert statements(store, lambda: store.put(one, "new", {"text": "a"})) == 6
    assert statements(store, lambda: store.put(one, "new", {"text": "b"})) <= 8
    store.search(one, query="a")
    assert statements(store, lambda: store.search(one, query="a")) <= 5


def test_how_many_statements_a_put_takes_that_is_kept_before_its_embedder_answers(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db", 100, at_once=False)
    assert statements(store, lambda: store.put(("u", "3"), "new", {"text": "a"})) <= 13


@pytest.mark.parametrize("prefix", [("u",), ("u", "3")])
def test_a_filter_for_a_declared_field_is_answered_by_its_index(stores: list[SqliteStore], prefix: Any) -> None:
    reader, seen = stores[0].database._connect_reader(), list[str]()
    reader.set_trace_callback(seen.append)
    stores[0].search(prefix, filter={"of.user": "user 33"})
    reader.set_trace_callback(None)
    asked = [sql for sql in seen if "clew_item_fields" in sql]
    plans = [row[3] for sql in asked for row in reader.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert any("SEARCH f USING" in step for step in plans)
    assert not [step for step in plans if step.startswith(("SCAN i", "SCAN f"))]
