"""The store's contract on PostgreSQL, and what only a server can promise."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew.errors import InvalidValue, VersionConflict
from clew.storage.postgres.database import PostgresDatabase
from clew.storage.postgres.items import apply_writes
from clew.storage.postgres.items_filter import compile_filter
from clew.storage.postgres.items_store import PostgresStore
from clew.storage.postgres.statements import rows
from clew.store.filters import matches, parse_filter
from clew.store.operations import GetOp, PutOp
from contracts.store_contract import Letters, OpenStore, StoreContract, filters, memories
from support.postgres import empty


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def open_store(self, postgres_database: PostgresDatabase) -> OpenStore:
        def opened(**settings: Any) -> PostgresStore:
            empty(postgres_database)
            return PostgresStore(postgres_database, **settings)

        return opened


def hybrid(database: PostgresDatabase, **settings: Any) -> PostgresStore:
    return PostgresStore(database, index={"dims": 26, "embed": Letters()}, search_mode="hybrid", **settings)


@pytest.fixture
def others(postgres: str, postgres_database: PostgresDatabase) -> Iterator[list[PostgresStore]]:
    """Stores with connections of their own, as of other processes, over the same tables."""
    stores = [PostgresStore(postgres, schema=postgres_database.schema) for _ in range(4)]
    yield stores
    for store in stores:
        store.close()


def at_once(work: Callable[[PostgresStore], object], stores: list[PostgresStore]) -> None:
    with ThreadPoolExecutor(len(stores)) as threads:
        for done in [threads.submit(work, store) for store in stores]:
            done.result()


def test_no_update_is_lost_between_processes(others: list[PostgresStore]) -> None:
    def count(store: PostgresStore) -> None:
        added = 0
        while added < 15:
            found = store.get(("m",), "counter")
            value, version = (found.value["n"], found.version) if found else (0, 0)
            try:
                store.put(("m",), "counter", {"n": value + 1}, if_version=version)
                added += 1
            except VersionConflict:
                pass

    at_once(count, others)
    found = others[0].get(("m",), "counter")
    assert found is not None
    assert (found.value, found.version) == ({"n": 60}, 60)


def test_writers_of_many_namespaces_do_not_wait_for_each_other_in_a_circle(others: list[PostgresStore]) -> None:
    def write(store: PostgresStore) -> None:
        chance = random.Random(id(store))
        for n in range(15):
            spaces = chance.sample(range(8), 5)
            store.batch(
                [PutOp(("m", str(space)), "k", {"n": n} if chance.random() < 0.8 else None) for space in spaces]
            )
            store.batch([GetOp(("m", str(space)), "k") for space in spaces])
            if n % 5 == 0:
                store.delete_namespace(("m",))

    at_once(write, others)


def test_a_search_finds_what_was_committed_late(postgres_database: PostgresDatabase) -> None:
    """Transactions commit in another order than they begin, and a search in between keeps what it has read."""
    with hybrid(postgres_database) as store:
        store.put(("m", "a"), "1", {"text": "zebra"})
        late = store.prepare([PutOp(("m", "b"), "2", {"text": "zebra"})])

        def keys() -> set[str]:
            return {item.key for item in store.search(("m",), query="zebra", mode="keyword")}

        def slowly(connection: Any) -> None:
            apply_writes(connection, late)
            store.put(("m", "c"), "3", {"text": "zebra"})
            assert keys() == {"1", "3"}

        postgres_database.write(slowly)
        assert keys() == {"1", "2", "3"}
        store.delete(("m", "a"), "1")
        assert keys() == {"2", "3"}


def test_searches_go_on_after_changes_are_forgotten(postgres_database: PostgresDatabase) -> None:
    with hybrid(postgres_database) as one, hybrid(postgres_database) as other:
        one.put(("m",), "a", {"text": "zebra"})
        assert len(one.search(("m",), query="zebra", mode="keyword")) == 1
        other.put(("m",), "b", {"text": "zebra"})
        postgres_database.write(
            lambda connection: connection.execute(
                "INSERT INTO clew_item_changes (id) SELECT 0 FROM generate_series(1, 20000)"
            )
        )
        postgres_database.write(
            lambda connection: connection.execute(
                "INSERT INTO clew_item_changes (id) SELECT 0 FROM generate_series(1, 20000)"
            )
        )
        assert {item.key for item in one.search(("m",), query="zebra", mode="keyword")} == {"a", "b"}


def test_prepared_writes_commit_with_the_callers_transaction(postgres_database: PostgresDatabase) -> None:
    store = hybrid(postgres_database)
    prepared = store.prepare([PutOp(("m",), "k", {"text": "zebra"})])

    def fails(connection: Any) -> None:
        apply_writes(connection, prepared)
        raise RuntimeError("the task's record could not be written")

    with pytest.raises(RuntimeError):
        postgres_database.write(fails)
    assert store.get(("m",), "k") is None
    postgres_database.write(lambda connection: apply_writes(connection, prepared))
    assert store.search(("m",), query="zebra")[0].key == "k"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(memories, min_size=1, max_size=6), condition=filters)
def test_sql_lets_through_what_a_filter_lets_through(
    postgres_database: PostgresDatabase, values: list[dict[str, Any]], condition: Any
) -> None:
    empty(postgres_database)
    with PostgresStore(postgres_database, filter_fields=["a", "a.b"]) as store:
        store.batch([PutOp(("m", str(n % 2)), str(n), value) for n, value in enumerate(values)])
    parsed = parse_filter(condition)
    compiled = compile_filter(parsed)
    found = postgres_database.read(
        lambda connection: rows(connection, f"SELECT i.key FROM clew_items i WHERE {compiled.sql}", compiled.parameters)
    )
    expected = {str(n) for n, value in enumerate(values) if matches(parsed, value)}
    if compiled.is_exact:
        assert {key for (key,) in found} == expected
    else:
        assert {key for (key,) in found} >= expected


def test_a_declared_field_is_looked_up_in_its_index(postgres_database: PostgresDatabase) -> None:
    with PostgresStore(postgres_database, filter_fields=["user_id"]) as store:
        store.batch([PutOp(("m",), str(n), {"user_id": f"u{n}", "text": "x" * 5000}) for n in range(300)])
        assert [item.key for item in store.search(("m",), filter={"user_id": "u7"})] == ["7"]
    PostgresStore(postgres_database, filter_fields=["user_id"]).close()  # it is there already
    compiled = compile_filter(parse_filter({"user_id": "u7"}))

    def plan(connection: Any) -> str:
        connection.execute("ANALYZE clew_items")
        found = rows(connection, f"EXPLAIN SELECT i.key FROM clew_items i WHERE {compiled.sql}", compiled.parameters)
        return "\n".join(row[0] for row in found)

    assert "clew_items_by_" in postgres_database.write(plan)


def test_a_value_comes_back_to_the_last_sign(postgres_database: PostgresDatabase) -> None:
    value = {"z": -0.0, "a": 1.0, "big": 1e300, "small": 5e-324, "mark": "\uffff", "whole": 2**63 - 1}
    with PostgresStore(postgres_database) as store:
        store.put(("m",), "k", value)
        found = store.get(("m",), "k")
    assert found is not None
    assert repr(found.value) == repr(value)


def test_a_key_too_long_for_an_index_is_refused(postgres_database: PostgresDatabase) -> None:
    key = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=20_000))
    with PostgresStore(postgres_database) as store, pytest.raises(InvalidValue, match="too long"):
        store.put(("m",), key, {"n": 1})
