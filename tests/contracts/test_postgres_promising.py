"""Searches by words, and by both, below prefixes with many items: nearly the same as when all is ranked here."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from clew.storage.postgres import items_search
from clew.storage.postgres.database import PostgresDatabase
from clew.storage.postgres.items_store import PostgresStore
from clew.store import search
from clew.store.corpus import Corpus
from clew.store.operations import Mode, PutOp, SearchItem
from contracts.store_contract import Clock
from contracts.test_postgres_nearby import has_table

DIMS = 32
COUNT = 6_000


def embed(texts: list[str]) -> list[list[float]]:
    """Give each text the sum of its words' directions."""
    return [sum(map(_direction, text.split())).tolist() for text in texts]


def _direction(word: str, known: dict[str, Any] = {}) -> Any:  # noqa: B006  # kept on purpose
    if word not in known:
        known[word] = np.random.default_rng(zlib.crc32(word.encode())).standard_normal(DIMS)
    return known[word]


@pytest.fixture(autouse=True)
def first_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every search be one of the first, which do with a part."""
    monkeypatch.setattr(search, "_MISSES_BEFORE_BUILDING", 1_000)


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items_search, "EXACT_ITEMS", 20)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(postgres_database: PostgresDatabase, clock: Clock) -> Iterator[PostgresStore]:
    with PostgresStore(postgres_database, index=INDEX, ttl={}, clock=clock) as opened:
        if not has_table(postgres_database):
            pytest.skip("this server has no pgvector")
        yield opened


INDEX: dict[str, Any] = {"dims": DIMS, "embed": embed, "model": "sums"}


def conversation(count: int, chance: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Give sentences in sessions, each of which has its own subjects."""
    words = 1 / np.arange(4, 3_004)
    for n in range(count):
        if n % 12 == 0:
            subjects = chance.choice(3_000, size=8, p=words / words.sum())
        chosen = [*chance.choice(3_000, size=8, p=words / words.sum()), *chance.choice(subjects, size=5)]
        text = " ".join(f"word{one}" for one in chosen)
        yield {"text": text, "session": f"session {n // 12}", "speaker": ("ann", "bob", "eve")[n % 3], "n": n}


def keys(found: list[SearchItem]) -> list[str]:
    return [item.key for item in found]


def ranked_here(store: PostgresStore, monkeypatch: pytest.MonkeyPatch, **asked: Any) -> list[SearchItem]:
    """Search by ranking everything."""
    with monkeypatch.context() as patched:
        patched.setattr(search, "_MISSES_BEFORE_BUILDING", 0)
        with PostgresStore(store.database, index=INDEX) as other:
            return other.search(("mine",), **asked)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give how many items each search ranks."""
    seen: list[int] = []

    def noted(corpus: Corpus, *rest: Any) -> Any:
        seen.append(len(corpus))
        return rank(corpus, *rest)

    rank = search.rank
    monkeypatch.setattr(search, "rank", noted)
    return seen


def test_first_ten_are_nearly_those_of_ranking_everything(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> None:
    monkeypatch.setattr(items_search, "EXACT_ITEMS", COUNT - 1)
    chance = np.random.default_rng(5)
    values = list(conversation(COUNT, chance))
    store.batch([PutOp(("mine", "a" if n < 4_000 else "b"), f"k{n}", value) for n, value in enumerate(values)])
    store.batch([PutOp(("other",), f"k{n}", value) for n, value in enumerate(values[:500])])
    cases: list[dict[str, Any]] = [{}, {"filter": {"n": {"$lt": 3_000}}}, {"offset": 5, "explain": True}]
    shared: dict[Mode, list[float]] = {"keyword": [], "hybrid": []}
    for n in range(12):
        text = values[n * 450]["text"].split()
        query = " ".join(chance.choice(text, size=4)) + (" ann" if n % 2 else " what did the others say")
        for mode in shared:
            for asked in cases:
                found = store.search(("mine",), query=query, mode=mode, limit=10, **asked)
                assert sizes[-1] < COUNT
                expected = ranked_here(store, monkeypatch, query=query, mode=mode, limit=10, **asked)
                assert sizes[-1] == COUNT
                assert len(found) == len(expected)
                shared[mode].append(len(set(keys(found)) & set(keys(expected))) / len(expected))
                assert all((item.why is not None) == ("explain" in asked) for item in found)
    assert np.mean(shared["keyword"]) == 1
    assert np.mean(shared["hybrid"]) >= 0.95


@pytest.mark.usefixtures("few_are_many")
@pytest.mark.parametrize("mode", ["keyword", "hybrid"])
def test_what_is_gone_expired_or_replaced_is_not_found(store: PostgresStore, clock: Clock, mode: Mode) -> None:
    store.batch([PutOp(("mine",), f"k{n}", {"text": f"tea {n}"}) for n in range(60)])
    store.put(("mine",), "soon gone", {"text": "rare tea"}, ttl=1)
    store.put(("mine",), "deleted", {"text": "rare tea"})
    store.put(("mine",), "replaced", {"text": "rare tea"})
    store.put(("mine",), "stays", {"text": "rare tea"})
    assert {*keys(store.search(("mine",), query="rare", mode=mode, limit=4))} == {
        "soon gone",
        "deleted",
        "replaced",
        "stays",
    }
    clock.move(minutes=2)
    store.delete(("mine",), "deleted")
    store.put(("mine",), "replaced", {"text": "tea"})
    found = store.search(("mine",), query="rare", mode=mode, limit=70)
    assert keys(found)[0] == "stays"
    assert not {"soon gone", "deleted"} & {*keys(found)}
    assert len(found) == (1 if mode == "keyword" else 62)


@pytest.mark.usefixtures("few_are_many")
def test_a_narrow_filter_cuts_nothing_short(store: PostgresStore, sizes: list[int]) -> None:
    store.batch([PutOp(("mine",), f"k{n}", {"text": f"tea {n}", "n": n}) for n in range(2_000)])
    store.put(("mine",), "no text", {"n": 5})
    narrow = {"n": {"$lte": 5}}
    assert len(store.search(("mine",), query="tea", mode="keyword", filter=narrow)) == 6
    found = keys(store.search(("mine",), query="tea", mode="hybrid", filter=narrow))
    assert {*found} == {"no text", *(f"k{n}" for n in range(6))}
    assert max(sizes) < 2_001


@pytest.mark.usefixtures("few_are_many")
def test_words_of_any_language_are_found(store: PostgresStore) -> None:
    store.batch([PutOp(("mine",), f"k{n}", {"text": f"tea {n}"}) for n in range(60)])
    for text, query in (("她每天早上喝绿茶", "绿茶"), ("Ihr schmeckt Grüntee", "gruntee"), ("قهوة الصباح", "قهوة")):
        store.put(("mine",), text, {"text": text})
        assert keys(store.search(("mine",), query=query, mode="keyword")) == [text]


def test_a_prefix_that_is_searched_often_is_read_once(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_MISSES_BEFORE_BUILDING", 2)
    monkeypatch.setattr(items_search, "EXACT_ITEMS", 20)
    seen: list[int] = []
    monkeypatch.setattr(
        items_search.PostgresShelf, "_part", lambda shelf, dims, part=items_search.PostgresShelf._part: (
            seen.append(1), part(shelf, dims)
        )[1],
    )  # fmt: skip
    store.batch([PutOp(("mine",), f"k{n}", {"text": f"tea {n}"}) for n in range(60)])
    for _ in range(5):
        assert len(store.search(("mine",), query="tea", mode="keyword")) == 10
    assert len(seen) == 2


def test_a_prefix_too_large_to_be_kept_is_read_no_more(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_MISSES_BEFORE_BUILDING", 0)
    monkeypatch.setattr(items_search, "EXACT_ITEMS", 20)
    read: list[int] = []
    build = items_search.PostgresShelf._build
    monkeypatch.setattr(
        items_search.PostgresShelf, "_build", lambda shelf, dims: (read.append(dims), build(shelf, dims))[1]
    )
    with PostgresStore(store.database, index=INDEX, cache_bytes=1) as small:
        small.batch([PutOp(("mine",), f"k{n}", {"text": f"tea {n}"}) for n in range(60)])
        for _ in range(3):
            assert len(small.search(("mine",), query="tea", mode="keyword")) == 10
    assert len(read) == 1
