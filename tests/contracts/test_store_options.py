"""What a store may be told is the same wherever it is opened."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from clew import Database, InMemoryStore, PostgresStore, SqliteStore
from clew.errors import ClewError, InvalidOption, UsageError
from clew.store.settings import StoreOptions


def options(opened: Any) -> set[str]:
    return set(inspect.signature(opened).parameters)


@pytest.mark.parametrize("opened", [InMemoryStore, SqliteStore, PostgresStore])
def test_every_store_has_the_options_of_a_store(opened: Any) -> None:
    assert set(get_type_hints(StoreOptions)) <= options(opened)
    assert options(opened) - set(get_type_hints(StoreOptions)) <= {"where", "database", "schema"}


def test_a_database_has_the_options_of_a_store_that_are_not_fixed_by_it() -> None:
    fixed = {"search_mode", "load_embedder", "clock"}
    assert set(get_type_hints(StoreOptions)) - fixed <= options(Database)


def test_a_store_opened_by_its_address_takes_every_option(tmp_path: Path) -> None:
    address = str(tmp_path / "a.db")
    with SqliteStore.from_conn_string(address, history=False, filter_fields=["kind"], cache_bytes=0) as store:
        store.put(("m",), "k", {"kind": "old"})
        store.put(("m",), "k", {"kind": "new"})
        assert len(store.history(("m",), "k")) == 1


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("sqlite:app.db", "no address"),
        ("file:app.db", "no address"),
        ("postgresql:/ann:hush@host/db", "no address"),
        ("sqlite:///app.db?mode=ro", "has options"),
        ("sqlite://app.db", "lacks a slash"),
    ],
)
def test_what_is_no_address_makes_no_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ClewError, match=why) as refused, Database(address) as database:
        database.store.put(("a",), "k", {"x": 1})
    assert "hush" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_database_limits_the_calls_of_its_embedder(tmp_path: Path) -> None:
    under_way, most, lock = 0, 0, threading.Lock()

    def embed(texts: list[str]) -> list[list[float]]:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        threading.Event().wait(0.01)
        with lock:
            under_way -= 1
        return [[1.0, float(len(text))] for text in texts]

    with Database(tmp_path / "a.db", embed=embed, index={"max_concurrency": 1}) as database:
        puts = [threading.Thread(target=database.store.put, args=(("m",), str(n), {"text": "a" * n})) for n in range(6)]
        for put in puts:
            put.start()
        for put in puts:
            put.join()
        assert len(database.store.search((), query="a")) == 6
    assert most == 1


def test_a_database_lets_memories_expire(tmp_path: Path) -> None:
    with Database(tmp_path / "a.db", ttl={"default_ttl": 1 / 60_000_000}) as database:
        database.store.put(("m",), "k", {"text": "short"})
        assert database.store.get(("m",), "k") is None


def test_a_setting_of_the_index_is_given_once() -> None:
    with pytest.raises(InvalidOption, match="fields is given twice"):
        Database(fields=["text"], index={"fields": ["text"]})
    with pytest.raises(UsageError, match="unknown index settings"):
        Database(index={"concurrency": 1})
    with pytest.raises(UsageError, match="index is a dictionary"):
        Database(index="local")  # type: ignore[arg-type]
