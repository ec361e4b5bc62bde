"""A first search finds what it would find without packs, whatever has changed since they were made."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clew.storage.sqlite.items_store import SqliteStore
from clew.store.operations import PutOp
from contracts.store_contract import Letters


def opened(path: Path) -> SqliteStore:
    return SqliteStore(path, index={"dims": 26, "embed": Letters()}, search_mode="hybrid")


def note(chance: random.Random) -> dict[str, Any]:
    return {"text": " ".join(chance.choices(["zebra", "lion", "pear", "plum", "oak", "elm"], k=3))}


def packs(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM clew_item_packs").fetchone()[0])


def found(path: Path, *, without_packs: bool = False) -> list[Any]:
    with opened(path) as store:
        if without_packs:
            store.database.write(lambda connection: connection.execute("DELETE FROM clew_item_packs"))
        pages = [store.search(prefix, query="zebra plum", limit=500) for prefix in ((), ("m",), ("m", "0"))]
    return [(item.namespace, item.key, item.value, item.score) for page in pages for item in page]


@pytest.mark.parametrize("exact", [100, 5000])
@pytest.mark.parametrize("seed", range(4))
def test_packs_change_nothing_of_what_is_found(
    seed: int, exact: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.storage.sqlite.items_search.EXACT_ITEMS", exact)
    chance, path = random.Random(seed), tmp_path / "a.db"
    with opened(path) as store:
        store.batch([PutOp(("m", str(n % 2)), str(n), note(chance)) for n in range(400)])
        assert packs(path) == 2 * (200 // 64)
        for n in chance.sample(range(400), 3):
            store.put(("m", str(n % 2)), str(n), note(chance), index=chance.choice([None, False]))
        store.delete(("m", "0"), str(2 * chance.randrange(200)))
        store.batch([PutOp(("m", "1"), f"new {n}", note(chance)) for n in range(70)])
    assert found(path) == found(path, without_packs=True)


@pytest.mark.parametrize("seed", range(4))
def test_rounded_vectors_change_nothing_of_what_is_found_by_meaning(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scored(path: Path, most_unrounded: int) -> list[Any]:
        monkeypatch.setattr("clew.storage.sqlite.items_search._MOST_UNROUNDED", most_unrounded)
        with opened(path) as store:
            words = chance.choices(["zebra plum", "lion", "pear oak", "elm"], k=6)
            pages = [
                store.search(("m",), query=word, mode="semantic", limit=5, offset=n) for n, word in enumerate(words)
            ]
            store.put(("m", "0"), "later", note(random.Random(seed)))
            pages.append(store.search(("m",), query="zebra", mode="semantic"))
            mixed = store.search(("m",), query="zebra plum", limit=1)
        return [[item.score for item in page] for page in pages] + [mixed[0].score]

    chance, path = random.Random(seed), tmp_path / "a.db"
    with opened(path) as store:
        store.batch([PutOp(("m", str(n % 2)), str(n), note(chance)) for n in range(400)])
        store.put(("m", "0"), "7", note(chance))
    assert packs(path) > 4
    chance.seed(seed)
    *exact, mixed = scored(path, 2_000)
    chance.seed(seed)
    *rounded, mixed_too = scored(path, 0)
    assert all(one == pytest.approx(other, abs=1e-6) for one, other in zip(exact, rounded, strict=True))
    assert mixed == pytest.approx(mixed_too, abs=0.01)


def test_a_pack_is_gone_as_soon_as_one_of_its_items_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with opened(path) as store:
        store.batch([PutOp(("m",), str(n), {"text": "zebra"}) for n in range(128)])
        assert packs(path) == 2
        store.put(("m",), "5", {"text": "lion"})
        assert packs(path) == 1
        store.delete(("m",), "100")
        assert packs(path) == 0


def test_packs_are_made_anew_by_the_writes_that_follow_a_search_without_them(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with opened(path) as store:
        store.batch([PutOp(("m",), str(n), {"text": "zebra"}) for n in range(200)])
        for n in (5, 100, 150):
            store.put(("m",), str(n), {"text": "lion"})
        assert packs(path) == 0
    with opened(path) as store:
        store.search(("m",), query="zebra")
        for n in range(3):
            store.put(("other",), str(n), {"text": "pear"})
        assert packs(path) == 3
    assert found(path) == found(path, without_packs=True)


def test_packs_are_made_anew_where_items_are_indexed_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with opened(path) as store:
        store.batch([PutOp(("m",), str(n), {"text": "zebra"}) for n in range(128)])
    with SqliteStore(path, index={"dims": 26, "embed": Letters(), "model": "other"}, search_mode="hybrid") as store:
        assert store.reindex() == 128
        assert packs(path) == 2


def test_nothing_of_what_is_erased_stays_in_a_pack(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as store:
        store.batch([PutOp(("m",), str(n), {"text": "zebra"}) for n in range(64)])
        store.erase_namespace(("m",))
    assert packs(tmp_path / "a.db") == 0


def test_ways_to_search_share_what_they_have_read(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as store:
        store.batch([PutOp(("m",), str(n), {"text": "zebra"}) for n in range(20)])
        for mode in ("hybrid", "keyword", "semantic"):
            assert store.search(("m",), query="zebra", mode=mode)[0].score
        keeper: Any = store._keeper
        assert len(keeper._known.corpora._kept) == 1
