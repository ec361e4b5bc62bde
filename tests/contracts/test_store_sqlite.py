"""The store's contract on SQLite, and what only a file can promise."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from clew.storage.inmemory.items import InMemoryStore
from clew.storage.sqlite.database import SqliteDatabase
from clew.storage.sqlite.items import apply_writes
from clew.storage.sqlite.items_store import AsyncSqliteStore, SqliteStore
from clew.store.operations import PutOp
from contracts.store_contract import Letters, OpenStore, StoreContract


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        numbers = count()
        return lambda **settings: SqliteStore(tmp_path / f"{next(numbers)}.db", **settings)


class TestSqliteStoreInMemory(StoreContract):
    @pytest.fixture
    def open_store(self) -> OpenStore:
        return lambda **settings: SqliteStore(":memory:", **settings)


def hybrid(where: Any) -> SqliteStore:
    return SqliteStore(where, index={"dims": 26, "embed": Letters()}, search_mode="hybrid")


def test_memories_outlive_the_store(tmp_path: Path) -> None:
    with hybrid(tmp_path / "a.db") as store:
        store.put(("m",), "k", {"text": "zebra"}, ttl=100)
        before = store.get(("m",), "k", refresh_ttl=False)
    with hybrid(tmp_path / "a.db") as store:
        assert store.get(("m",), "k") == before
        assert store.search(("m",), query="zebra")[0].key == "k"


def test_a_put_whose_vector_the_database_does_not_take_has_kept_its_memory(tmp_path: Path, caplog: Any) -> None:
    path, aside = tmp_path / "a.db", tmp_path / "aside.db"

    def embed(texts: list[str]) -> list[list[float]]:
        path.rename(aside)
        time.sleep(0.005)  # the file is looked for once in a millisecond
        return [[1.0]] * len(texts)

    with SqliteStore(path, index={"embed": embed}) as store:
        store.put(("m",), "k", {"text": "zebra"})
        assert "wait for their vectors" in caplog.text
        aside.rename(path)
        assert store.get(("m",), "k") is not None
        assert store.index_status().waiting == 1


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_wide_search_gives_exact_scores_from_codes(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def texts() -> list[str]:
        chance = random.Random(3)
        return ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=12)) for _ in range(800)]

    settings: dict[str, Any] = {"index": {"embed": Letters(), "fields": ["text", "more"]}}
    store = InMemoryStore(**settings) if kind == "memory" else SqliteStore(tmp_path / "a.db", **settings)
    puts = [PutOp(("m", str(n % 9)), str(n), {"text": text}) for n, text in enumerate(texts())]
    store.batch([*puts, PutOp(("m", "x"), "two", {"text": "zzz", "more": "abcde"}), PutOp(("m", "y"), "none", {})])
    exact = store.search(("m",), query="abcde", limit=20)
    mixed = store.search(("m",), query="abcde", limit=20, mode="hybrid")
    store._keeper = type(store._keeper)(2**20)
    for module in ("inmemory.items", "sqlite.items_search"):
        monkeypatch.setattr(f"clew.storage.{module}.EXACT_ITEMS", 100)
    coded = store.search(("m",), query="abcde", limit=20)
    assert coded[0].key == exact[0].key == "two"
    assert len({item.key for item in coded} & {item.key for item in exact}) >= 18
    scores = {item.key: item.score for item in exact}
    assert all(item.score == pytest.approx(scores[item.key], abs=1e-4) for item in coded if item.key in scores)
    assert (
        len({i.key for i in store.search(("m",), query="abcde", limit=20, mode="hybrid")} & {i.key for i in mixed}) > 15
    )
    only = store.search(("m",), query="abcde", filter={"text": "zzz"}, limit=5)
    assert [item.key for item in only] == ["two"]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_wide_search_tells_vectors_apart_whose_components_all_have_one_sign(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embed(texts: Sequence[str]) -> list[list[float]]:
        return [[byte + 1.0 for byte in sha256(text.encode()).digest()] for text in texts]

    for module in ("inmemory.items", "sqlite.items_search"):
        monkeypatch.setattr(f"clew.storage.{module}.EXACT_ITEMS", 100)
    settings: dict[str, Any] = {"index": {"embed": embed, "fields": ["text"]}}
    store = InMemoryStore(**settings) if kind == "memory" else SqliteStore(tmp_path / "a.db", **settings)
    store.batch([PutOp(("m",), str(n), {"text": f"text {n}"}) for n in range(2000)])
    for number in range(0, 2000, 400):
        (best,) = store.search(("m",), query=f"text {number}", limit=1)
        assert (best.key, best.score) == (str(number), pytest.approx(1))


def test_vectors_of_another_length_are_never_compared(tmp_path: Path) -> None:
    def short(texts: list[str]) -> list[list[float]]:
        return [[1.0, 2.0] for _ in texts]

    def long(texts: list[str]) -> list[list[float]]:
        return [[1.0, 2.0, 1.0, 2.0] for _ in texts]

    with SqliteStore(tmp_path / "a.db", index={"embed": long, "model": "same"}) as store:
        store.put(("m",), "k", {"text": "a"})
    with SqliteStore(tmp_path / "a.db", index={"embed": short, "model": "same", "dims": 2}) as store:
        assert store.search(("m",), query="a")[0].score is None
        assert store.reindex() == 1
        assert store.search(("m",), query="a")[0].score == pytest.approx(1)


def test_two_stores_on_one_file_see_each_other(tmp_path: Path) -> None:
    with hybrid(tmp_path / "a.db") as one, hybrid(tmp_path / "a.db") as other:
        one.put(("m",), "a", {"text": "zebra"})
        assert [item.key for item in other.search(("m",), query="zebra", mode="keyword")] == ["a"]
        one.put(("m",), "b", {"text": "zebra"})
        assert {item.key for item in other.search(("m",), query="zebra", mode="keyword")} == {"a", "b"}
        other.delete_namespace(("m",))
        other.put(("m",), "a", {"text": "lion"})
        assert one.search(("m",), query="zebra", mode="keyword") == []


def test_what_waits_for_its_vector_outlives_the_process(tmp_path: Path) -> None:
    embedder = Letters()
    embedder.error = ConnectionError("down")
    with SqliteStore(tmp_path / "a.db", index={"embed": embedder, "fields": ["text"]}) as store:
        store.put(("m",), "k", {"text": "zebra", "other": "lion"}, index=["other"])
    embedder.error = None
    with SqliteStore(tmp_path / "a.db", index={"embed": embedder, "fields": ["text"]}) as store:
        assert store.index_status().waiting == 1
        assert store.embed_waiting() == 1
        assert store.search(("m",), query="lion")[0].score == pytest.approx(1)


def test_it_opens_as_langgraph_users_write_it(tmp_path: Path) -> None:
    with SqliteStore.from_conn_string(str(tmp_path / "a.db")) as store:
        store.setup()
        store.setup()
        store.put(("m",), "k", {"n": 1})

    async def awaited() -> Any:
        async with AsyncSqliteStore.from_conn_string(str(tmp_path / "a.db"), ttl={"default_ttl": 1}) as store:
            await store.setup()
            return await store.aget(("m",), "k")

    assert asyncio.run(awaited()).value == {"n": 1}


def test_prepared_writes_commit_with_the_callers_transaction(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "a.db")
    store = hybrid(database)
    prepared = store.prepare([PutOp(("m",), "k", {"text": "zebra"})])

    def fails(connection: Any) -> None:
        apply_writes(connection, prepared)
        raise RuntimeError("the task's record could not be written")

    with pytest.raises(RuntimeError):
        database.write(fails)
    assert store.get(("m",), "k") is None
    database.write(lambda connection: apply_writes(connection, prepared))
    assert store.search(("m",), query="zebra")[0].key == "k"
    store.close()
    assert store.get(("m",), "k") is not None
    database.close()
