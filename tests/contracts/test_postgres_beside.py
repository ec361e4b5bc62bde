"""Clew beside others in one database: another program's tables, the user's own pool, and a pooler between."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from procrastinate.schema import SchemaManager
from psycopg_pool import ConnectionPool

from clew import BaseStore, Checkpointer, Database, PostgresSaver, PostgresStore, entrypoint, task
from clew.storage.postgres.database import PostgresDatabase
from clew.storage.postgres.statements import rows
from clew.testing.contracts import CheckpointerContract
from support.colours import PATIENCE_S, thread
from support.poolers import SESSIONS, is_installed, pooler
from support.postgres import empty, fresh_database, fresh_schema
from support.working import eventually, working

DECOYS = ("clew_threads", "clew_runs", "clew_items", "clew_namespaces", "clew_schema")


def work_there(database: Database) -> None:
    """Do what concerns every kind of table: a run, its memories, a search, and a call that a worker carries out."""

    @task
    def remember(x: int, store: BaseStore) -> int:
        store.put(("told",), str(x), {"text": f"number {x}"})
        return x

    @entrypoint(database=database)
    def flow(x: int) -> int:
        return int(remember(x).result())  # type: ignore[call-arg]  # the store is injected

    assert flow.invoke(1, thread("a")) == 1
    with working(database, flow):
        assert flow.submit(2, thread("b")).result(PATIENCE_S) == 2
        eventually(lambda: not jobs(database))  # the wake-up was carried by our own procrastinate, and is done
    assert {item.key for item in database.store.search(("told",), query="number")} == {"1", "2"}
    assert next(flow.get_state_history(thread("a"))).values == 1


def jobs(database: Database) -> list[tuple[object, ...]]:
    """Return the wake-ups that are not done."""
    saver = database.checkpointer
    assert isinstance(saver, PostgresSaver)
    return saver.database.read(lambda connection: rows(connection, "SELECT id FROM procrastinate_jobs"))


def counts(address: str, schema: str, tables: tuple[str, ...]) -> list[int]:
    """Count the rows of tables."""
    with psycopg.connect(address) as connection:
        found = [connection.execute(f"SELECT count(*) FROM {schema}.{table}".encode()).fetchone() for table in tables]
    return [row[0] for row in found if row]


def decoys(address: str, schema: str) -> None:
    """Make tables of another program that are named like ours."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}".encode())
        for table in DECOYS:
            connection.execute(f"CREATE TABLE {schema}.{table} (version integer, wakeups text)".encode())


class TestOtherPrograms:
    def test_their_procrastinate_and_tables_of_the_same_names_stay_theirs(self, postgres: str) -> None:
        with fresh_database(postgres) as address:
            decoys(address, "public")
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute(SchemaManager.get_schema().encode())
            with Database(address, schema="clew") as database:
                work_there(database)
            assert counts(address, "public", (*DECOYS, "procrastinate_jobs")) == [0] * (len(DECOYS) + 1)
            assert counts(address, "clew", ("clew_runs", "clew_items")) == [2, 2]


class TestPools:
    def test_one_whose_connections_look_elsewhere_serves_and_is_left_as_it_was(self, postgres: str) -> None:
        with fresh_database(postgres) as address:
            decoys(address, "theirs")
            with ConnectionPool(address, kwargs={"options": "-c search_path=theirs"}, open=True) as pool:
                with Database(pool, schema="clew") as database:
                    work_there(database)
                with pool.connection() as connection:
                    assert connection.execute("SHOW search_path").fetchone() == ("theirs",)
            assert counts(address, "theirs", DECOYS) == [0] * len(DECOYS)


@pytest.fixture(scope="module")
def pooled(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server by way of a pooler that hands sessions on after each transaction."""
    if not is_installed():
        pytest.skip("there is no pgbouncer on this machine (Debian: apt install pgbouncer)")
    folder = tmp_path_factory.mktemp("pooler")
    for above in (folder, *folder.parents[:-2]):
        above.chmod(0o755)
    with pooler(postgres, folder) as address:
        yield address


@pytest.fixture(scope="module")
def pooled_database(pooled: str) -> Iterator[PostgresDatabase]:
    with fresh_schema(pooled) as schema, contextlib.closing(PostgresDatabase(pooled, schema=schema)) as database:
        yield database


class TestBehindPgBouncer(CheckpointerContract):
    """The contract of a checkpointer, when each transaction may have another session, and there are two of them."""

    @pytest.fixture
    def saver(self, pooled_database: PostgresDatabase) -> Iterator[Checkpointer]:
        yield PostgresSaver(pooled_database)
        empty(pooled_database)

    def test_more_callers_than_sessions_get_their_turns(self, pooled_database: PostgresDatabase) -> None:
        saver = PostgresSaver(pooled_database)

        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            return x

        with ThreadPoolExecutor(4 * SESSIONS) as callers:
            assert list(callers.map(lambda n: flow.invoke(n, thread(str(n))), range(40))) == list(range(40))
        empty(pooled_database)

    def test_memories_and_work_go_through(self, pooled: str) -> None:
        with fresh_schema(pooled) as schema, Database(pooled, schema=schema) as database:
            work_there(database)

    def test_nothing_stays_with_a_session(self, pooled: str, pooled_database: PostgresDatabase) -> None:
        with PostgresStore(pooled_database) as store:
            store.put(("m",), "k", {"text": "x"})
            store.search(("m",))
        with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as connection:
            for _ in range(2 * SESSIONS):
                assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
                assert connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (
                    0,
                )
                [path] = connection.execute("SHOW search_path").fetchone() or ("",)
                assert pooled_database.schema not in path
        empty(pooled_database)
