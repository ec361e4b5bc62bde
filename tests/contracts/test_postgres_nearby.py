"""Searches by meaning below prefixes with many items, which pgvector answers: the same as when all is compared here."""

from __future__ import annotations

import contextlib
import uuid
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest

from clew.storage.postgres import items_nearby, items_search
from clew.storage.postgres.database import PostgresDatabase
from clew.storage.postgres.items_store import PostgresStore
from clew.storage.postgres.statements import rows
from clew.store.operations import PutOp, SearchItem
from contracts.store_contract import Clock
from support.postgres import fresh_database

DIMS = 16


def embed(texts: list[str], dims: int = DIMS) -> list[list[float]]:
    """Give each text a direction of its own, near that of texts with the same first word."""

    def direction(text: str) -> Any:
        return np.random.default_rng(zlib.crc32(text.encode())).standard_normal(dims)

    return [(direction(text.split()[0]) + 0.7 * direction(text)).tolist() for text in texts]


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a hundred items be as many as need an index."""
    monkeypatch.setattr(items_search, "EXACT_ITEMS", 20)
    monkeypatch.setattr(items_nearby, "INDEXED_VECTORS", 100)
    monkeypatch.setattr(items_nearby, "LEAST_SHARE", 100)


@pytest.fixture
def store(postgres_database: PostgresDatabase, clock: Clock) -> Iterator[PostgresStore]:
    index = {"dims": DIMS, "embed": embed, "model": f"m{uuid.uuid4().hex}", "fields": ["text", "more[*]"]}
    with PostgresStore(postgres_database, index=index, ttl={}, clock=clock) as opened:
        if not has_table(postgres_database):
            pytest.skip("this server has no pgvector")
        yield opened
    drop_indexes(postgres_database)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def has_table(database: PostgresDatabase) -> bool:
    [(found,)] = database.read(
        lambda connection: rows(connection, "SELECT to_regclass('clew_item_nearby') IS NOT NULL")
    )
    return bool(found)


def indexes(database: PostgresDatabase) -> list[str]:
    found = database.read(
        lambda connection: rows(
            connection,
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam "
            "WHERE i.indrelid = to_regclass('clew_item_nearby') AND a.amname = 'hnsw' AND i.indisvalid",
        )
    )
    return [name for (name,) in found]


def drop_indexes(database: PostgresDatabase) -> None:
    database.write(lambda connection: [connection.execute(f"DROP INDEX {n}".encode()) for n in indexes(database)])


def fill(store: PostgresStore, prefix: str, count: int) -> None:
    store.batch(
        [
            PutOp((prefix, f"s{n % 3}"), f"k{n}", {"text": f"topic{n % 20} number {n}", "n": n, "odd": n % 2 == 1})
            for n in range(count)
        ]
    )


def keys(found: list[SearchItem]) -> list[str]:
    return [item.key for item in found]


def exactly(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, prefix: tuple[str, ...], **asked: Any
) -> list[SearchItem]:
    """Search by comparing everything here."""
    with monkeypatch.context() as patched:
        patched.setattr(items_search, "EXACT_ITEMS", 1_000_000)
        with PostgresStore(store.database, index=store.index_config, cache_bytes=0) as other:
            return other.search(prefix, **asked)


@pytest.mark.parametrize("has_index", [False, True])
def test_what_is_near_is_what_comparing_everything_finds(
    store: PostgresStore, has_index: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, "mine", 600)
    fill(store, "other", 300)
    if has_index:
        store.setup()
        assert len(indexes(store.database)) == 1
    shared = 0
    for n in range(20):
        for asked in ({"filter": {"odd": True}}, {}, {"offset": 5}):
            found = store.search(("mine",), query=f"topic{n} number", limit=10, **asked)
            expected = exactly(store, monkeypatch, ("mine",), query=f"topic{n} number", limit=10, **asked)
            assert len(found) == 10
            shared += len(set(keys(found)) & set(keys(expected)))
            scores = {item.key: item.score for item in expected}
            assert all(item.score == pytest.approx(scores[item.key], abs=1e-5) for item in found if item.key in scores)
    assert shared >= (0.97 if has_index else 1) * 600


@pytest.mark.parametrize("has_index", [False, True])
def test_a_narrow_filter_or_namespace_cuts_nothing_short(store: PostgresStore, has_index: bool) -> None:
    fill(store, "other", 900)
    fill(store, "mine", 30)
    store.put(("mine", "s0"), "no text", {"n": 28})
    if has_index:
        store.setup()
    assert set(keys(store.search(("mine",), query="topic1 number", limit=40))) == {f"k{n}" for n in range(30)} | {
        "no text"
    }
    few = store.search(("mine",), query="topic1 number", filter={"n": {"$gte": 27}})
    assert keys(few)[-1] == "no text"
    assert few[-1].score is None
    assert set(keys(few)) == {"k27", "k28", "k29", "no text"}


def test_the_index_is_asked_where_the_prefix_is_a_large_part_of_all(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[str] = []

    def explained(connection: Any, sql: str, values: Any = ()) -> list[tuple[Any, ...]]:
        if "<=>" in sql:
            plans.append("\n".join(line for (line,) in rows(connection, f"EXPLAIN {sql}", values)))
        return rows(connection, sql, values)

    monkeypatch.setattr(items_nearby, "rows", explained)
    fill(store, "mine", 600)
    fill(store, "other", 300)
    store.setup()
    store.database.write(lambda connection: connection.execute("ANALYZE clew_item_nearby"))
    [name] = indexes(store.database)
    store.search(("mine",), query="topic1 number")
    store.search(("mine", "s1"), query="topic1 number")
    assert [f"using {name}" in plan for plan in plans] == [True, False]


def kept_as(store: PostgresStore) -> str:
    typed = (
        "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attname = 'embedding' AND attrelid = %s::regclass"
    )
    [(name,)] = store.database.read(lambda connection: rows(connection, typed, ("clew_item_nearby",)))
    return str(name).rpartition(".")[2]


def test_vectors_are_kept_in_half_precision_unless_asked_otherwise(store: PostgresStore) -> None:
    fill(store, "mine", 300)
    store.setup()
    best = keys(store.search(("mine",), query="topic1 number", limit=5))
    try:
        assert kept_as(store) == "halfvec"
        store.setup(halfvec=False)
        store.put(("mine", "s0"), "new", {"text": "topic1 number"})
        store.setup()  # which leaves that as it is
        assert kept_as(store) == "vector"
        assert len(indexes(store.database)) == 1
        assert keys(store.search(("mine",), query="topic1 number", limit=6)) == ["new", *best]
    finally:
        store.setup(halfvec=True)
    assert kept_as(store) == "halfvec"
    assert keys(store.search(("mine",), query="topic1 number", limit=6)) == ["new", *best]


def test_what_is_gone_or_has_expired_is_not_found(store: PostgresStore, clock: Clock) -> None:
    fill(store, "mine", 120)
    store.setup()
    store.put(("mine", "s0"), "soon gone", {"text": "topic1 number"}, ttl=1)
    store.put(("mine", "s0"), "deleted", {"text": "topic1 number"})
    store.put(("mine", "s0"), "replaced", {"text": "topic1 number"})
    store.put(("mine", "s0"), "not indexed any more", {"text": "topic1 number"})
    assert len(set(keys(store.search(("mine",), query="topic1 number", limit=4))) - {f"k{n}" for n in range(120)}) == 4
    clock.move(minutes=2)
    store.delete(("mine", "s0"), "deleted")
    store.put(("mine", "s0"), "replaced", {"text": "nothing of the kind"})
    store.put(("mine", "s0"), "not indexed any more", {"text": "topic1 number"}, index=False)
    found = store.search(("mine",), query="topic1 number", limit=5)
    assert all(key.startswith("k") for key in keys(found))
    store.delete_namespace(("mine",))
    assert store.search(("mine",), query="topic1 number") == []


def test_a_search_in_the_past_compares_what_was_there_then(store: PostgresStore, clock: Clock) -> None:
    fill(store, "mine", 120)
    before = clock.now
    clock.move(minutes=1)
    store.put(("mine", "s0"), "new", {"text": "topic1 number"})
    assert keys(store.search(("mine",), query="topic1 number", limit=1)) == ["new"]
    assert "new" not in keys(store.search(("mine",), query="topic1 number", limit=200, as_of=before))


def test_an_item_with_many_near_texts_is_found_once_and_fills_no_page(store: PostgresStore) -> None:
    fill(store, "mine", 120)
    store.put(("mine", "s0"), "many", {"text": "topic1 number", "more": [f"topic1 number {n}" for n in range(900)]})
    store.setup()
    found = store.search(("mine",), query="topic1 number", limit=10)
    assert keys(found)[0] == "many"
    assert len(set(keys(found))) == 10


def test_vectors_of_two_models_or_lengths_are_not_compared(store: PostgresStore) -> None:
    fill(store, "mine", 120)
    store.setup()
    longer = {**(store.index_config or {}), "dims": 24, "embed": lambda texts: embed(texts, 24)}
    another = {**(store.index_config or {}), "model": "another"}
    for index in (longer, another):
        with PostgresStore(store.database, index=index) as changed:
            changed.put(("mine", "s0"), "changed", {"text": "topic1 number"})
            found = changed.search(("mine",), query="topic1 number", limit=5)
            assert keys(found)[0] == "changed"
            assert [item.score for item in found[1:]] == [None] * 4
            changed.reindex()
            assert None not in [item.score for item in changed.search(("mine",), query="topic1 number", limit=5)]


def test_an_index_that_was_not_finished_is_made_anew(store: PostgresStore) -> None:
    fill(store, "mine", 120)
    store.setup()
    [name] = indexes(store.database)
    spoil = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)"
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
        store.database.write(lambda connection: connection.execute(spoil, (name,)))
        assert indexes(store.database) == []
    store.setup()
    assert indexes(store.database) == [name]


def test_an_index_of_a_model_without_vectors_goes(store: PostgresStore) -> None:
    fill(store, "mine", 120)
    store.setup()
    store.delete_namespace(("mine",))
    store.setup()
    assert indexes(store.database) == []


@pytest.fixture
def humble(postgres: str) -> Iterator[tuple[str, str]]:
    """Addresses of a database: of somebody who may not make extensions, and of somebody who may."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        if not rows(connection, "SELECT 1 FROM pg_roles WHERE rolname = current_user AND rolsuper"):
            pytest.skip("only a superuser can make one who may not make extensions")
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'".encode())
        with fresh_database(postgres, owner=name) as address:
            yield psycopg.conninfo.make_conninfo(address, user=name, password=name), address
        connection.execute(f"DROP ROLE {name}".encode())


def test_without_the_right_to_make_pgvector_all_is_found_until_somebody_makes_it(
    humble: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    own, administrators = humble
    index = {"dims": DIMS, "embed": embed, "model": "m", "fields": ["text"]}
    with PostgresStore(own, index=index) as store:
        store.setup()
        assert not has_table(store.database)
        fill(store, "mine", 120)
        before = store.search(("mine",), query="topic1 number")
        assert "see store.setup()" in caplog.text
    with psycopg.connect(administrators, autocommit=True) as connection:
        if not rows(connection, "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"):
            pytest.skip("this server has no pgvector")
        connection.execute("CREATE EXTENSION vector")
    caplog.clear()
    with PostgresStore(own, index=index) as store:
        store.setup()
        assert has_table(store.database)
        store.put(("mine", "s0"), "new", {"text": "topic1 number"})
        assert keys(store.search(("mine",), query="topic1 number"))[1:] == keys(before)[:-1]
        assert "see store.setup()" in caplog.text  # the table does not have all of them yet
    caplog.clear()
    with PostgresStore(own, index=index) as store:
        store.reindex()
        assert keys(store.search(("mine",), query="topic1 number"))[1:] == keys(before)[:-1]
        assert caplog.text == ""
