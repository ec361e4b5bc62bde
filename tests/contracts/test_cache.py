"""What every cache promises, on every engine and in both colours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clew.errors import InvalidNamespaceError, Unavailable
from clew.storage.cache import BaseCache
from clew.storage.inmemory.cache import InMemoryCache
from clew.storage.postgres.cache import PostgresCache
from clew.storage.sqlite.cache import SqliteCache
from clew.storage.sqlite.database import SqliteDatabase

HERE = ("task", "f")


class Clock:
    """Wall-clock seconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


class Blocking:
    """Calls a cache as sync code does."""

    def __init__(self, cache: BaseCache) -> None:
        self.get, self.set, self.clear = cache.get, cache.set, cache.clear


class Awaiting:
    """Calls a cache as async code does, each time from a loop of its own."""

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache

    def get(self, namespace: tuple[str, ...], key: str) -> bytes | None:
        return asyncio.run(self._cache.aget(namespace, key))

    def set(self, namespace: tuple[str, ...], key: str, data: bytes, ttl_s: float | None) -> None:
        asyncio.run(self._cache.aset(namespace, key, data, ttl_s))

    def clear(self, namespace: tuple[str, ...] = ()) -> None:
        asyncio.run(self._cache.aclear(namespace))


@pytest.fixture(params=["memory", "sqlite file", "sqlite memory", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseCache]:
    if request.param == "memory":
        yield InMemoryCache()
        return
    if request.param == "postgres":
        yield PostgresCache(request.getfixturevalue("postgres_database"))
        return
    cache = SqliteCache(tmp_path / "cache.db") if request.param == "sqlite file" else SqliteCache()
    yield cache
    cache.close()


@pytest.fixture(params=[Blocking, Awaiting])
def cache(request: pytest.FixtureRequest, kept: BaseCache) -> Blocking | Awaiting:
    colour: Callable[[BaseCache], Blocking | Awaiting] = request.param
    return colour(kept)


Cache = Blocking | Awaiting


def test_what_was_set_is_got(cache: Cache) -> None:
    cache.set(HERE, "k", b"\x00data", None)
    assert cache.get(HERE, "k") == b"\x00data"


def test_nothing_is_none_and_empty_is_not(cache: Cache) -> None:
    cache.set(HERE, "k", b"", None)
    assert (cache.get(HERE, "k"), cache.get(HERE, "other")) == (b"", None)


def test_setting_again_replaces_data_and_lifetime(cache: Cache, clock: Clock) -> None:
    cache.set(HERE, "k", b"old", 10)
    cache.set(HERE, "k", b"new", None)
    clock.now_s += 100
    assert cache.get(HERE, "k") == b"new"


def test_an_entry_expires_exactly_at_the_end_of_its_lifetime(cache: Cache, clock: Clock) -> None:
    cache.set(HERE, "k", b"x", 1.5)
    clock.now_s += 1.4
    assert cache.get(HERE, "k") == b"x"
    clock.now_s += 0.1
    assert cache.get(HERE, "k") is None


def test_a_lifetime_of_nothing_is_over_at_once(cache: Cache, clock: Clock) -> None:
    cache.set(HERE, "k", b"x", 0)
    assert cache.get(HERE, "k") is None


def test_an_expired_entry_stays_gone_when_the_clock_goes_back(cache: Cache, clock: Clock) -> None:
    cache.set(HERE, "k", b"x", 5)
    clock.now_s += 5
    cache.set(HERE, "other", b"y", None)  # the moment at which the expired is forgotten, if not before
    assert cache.get(HERE, "k") is None


def test_keys_and_namespaces_do_not_leak_into_each_other(cache: Cache) -> None:
    places = [("a", "b"), ("a",), ("b",), ("ab",), ("a,b",), ('a","b',), ("a", "b", "c"), ()]
    for i, namespace in enumerate(places):
        cache.set(namespace, "k", b"%d" % i, None)
        cache.set(namespace, "K", b"other", None)
    assert [cache.get(namespace, "k") for namespace in places] == [b"%d" % i for i in range(len(places))]


def test_any_text_is_a_key_and_a_label(cache: Cache) -> None:
    odd = ["", "é", "e\u0301", "a\x00b", "a", "\ud800", "%", "_", "'; DROP TABLE clew_cache; --"]
    for i, text in enumerate(odd):
        cache.set((text,), text, b"%d" % i, None)
    assert [cache.get((text,), text) for text in odd] == [b"%d" % i for i in range(len(odd))]


def test_clearing_forgets_a_namespace_and_those_within_it_alone(cache: Cache) -> None:
    places = [("task", "f"), ("task", "f", "old"), ("task", "ff"), ("task",), ("workflow", "f")]
    for namespace in places:
        cache.set(namespace, "k", b"x", None)
    cache.clear(("task", "f"))
    assert [cache.get(namespace, "k") for namespace in places] == [None, None, b"x", b"x", b"x"]


def test_clearing_without_a_namespace_forgets_everything(cache: Cache) -> None:
    cache.set(HERE, "k", b"x", None)
    cache.set((), "k", b"x", 10)
    cache.clear()
    assert (cache.get(HERE, "k"), cache.get((), "k")) == (None, None)


@pytest.mark.parametrize("namespace", ["task", ["task"], ("task", 1), None])
def test_what_is_no_namespace_is_refused(cache: Cache, namespace: tuple[str, ...]) -> None:
    with pytest.raises(InvalidNamespaceError, match="tuple of text"):
        cache.get(namespace, "k")
    with pytest.raises(InvalidNamespaceError, match="tuple of text"):
        cache.set(namespace, "k", b"x", None)
    with pytest.raises(InvalidNamespaceError, match="tuple of text"):
        cache.clear(namespace)


def test_many_threads_may_use_one_cache(kept: BaseCache) -> None:
    def use(i: int) -> bytes | None:
        kept.set(HERE, str(i), b"%d" % i, 60)
        kept.clear(("others", str(i)))
        return kept.get(HERE, str(i))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(use, range(200))) == [b"%d" % i for i in range(200)]


def test_one_loop_may_use_it_many_times_at_once(kept: BaseCache) -> None:
    async def use(i: int) -> bytes | None:
        await kept.aset(HERE, str(i), b"%d" % i, 60)
        return await kept.aget(HERE, str(i))

    async def all_of_them() -> list[bytes | None]:
        return await asyncio.gather(*(use(i) for i in range(50)))

    assert asyncio.run(all_of_them()) == [b"%d" % i for i in range(50)]


class TestForgetting:
    """What has expired must not pile up, though nobody asks for it again."""

    def test_memory_keeps_few_expired_entries(self, clock: Clock) -> None:
        cache = InMemoryCache()
        cache.set(HERE, "lasting", b"x", None)
        for i in range(5_000):
            cache.set(HERE, str(i), b"x", 1)
            clock.now_s += 1
        assert len(cache._entries) < 1_000
        assert cache.get(HERE, "lasting") == b"x"

    def test_sqlite_keeps_few_expired_entries(self, clock: Clock) -> None:
        cache = SqliteCache()
        cache.set(HERE, "lasting", b"x", None)
        for i in range(300):
            cache.set(HERE, str(i), b"x", 1)
        clock.now_s += 1
        for _ in range(10):
            cache.set(HERE, "lasting", b"x", None)
        count = cache.database.read(lambda connection: connection.execute("SELECT count(*) FROM clew_cache").fetchone())
        assert count == (1,)
        cache.close()


def plan_of(query: str, database: SqliteDatabase) -> str:
    row = database.read(lambda connection: connection.execute("EXPLAIN QUERY PLAN " + query).fetchone())
    return str(row[3])


class TestSqlite:
    def test_entries_outlive_the_object(self, tmp_path: Path) -> None:
        for expected in (None, b"x"):
            cache = SqliteCache(path=tmp_path / "cache.db")
            assert cache.get(HERE, "k") == expected
            cache.set(HERE, "k", b"x", None)
            cache.close()

    def test_it_can_share_a_database_which_it_does_not_close(self, tmp_path: Path) -> None:
        database = SqliteDatabase(tmp_path / "app.db")
        first, second = SqliteCache(database), SqliteCache(database)
        first.set(HERE, "k", b"x", None)
        first.close()
        assert second.get(HERE, "k") == b"x"
        database.close()

    def test_a_closed_cache_says_so(self, tmp_path: Path) -> None:
        cache = SqliteCache(tmp_path / "cache.db")
        cache.close()
        with pytest.raises(Unavailable, match="closed"):
            cache.get(HERE, "k")

    def test_expired_entries_and_namespaces_are_found_by_an_index(self) -> None:
        cache = SqliteCache()
        for query in (
            "SELECT rowid FROM clew_cache WHERE expires_s <= 1.0 LIMIT 64",
            "DELETE FROM clew_cache WHERE namespace >= 'a' AND namespace < 'b'",
        ):
            assert "SEARCH" in plan_of(query, cache.database)
        cache.close()
