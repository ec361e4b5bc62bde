"""What a PostgreSQL database is asked to bear: many processes, restarts, poolers, frozen clients, and any text."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from clew import BaseStore, Checkpointer, Database, PostgresSaver, entrypoint, task
from clew.engine.records import Record, Run, ThreadKey
from clew.errors import Conflict, InvalidOption, SchemaMismatch, Unavailable
from clew.storage.base import Append, Begin, End, ListRuns, ListThreads, Load, LoadRecords
from clew.storage.postgres import connections, exchanging, migrations, sessions
from clew.storage.postgres import database as database_module
from clew.storage.postgres.database import PostgresDatabase
from clew.storage.postgres.texts import from_held, to_held
from support import postgres as servers
from support.working import eventually

THREAD = ThreadKey("1", "flow")


@pytest.fixture
def database(postgres: str, postgres_schema: str) -> Iterator[PostgresDatabase]:
    """A database of its own, not made yet."""
    with contextlib.closing(PostgresDatabase(postgres, schema=postgres_schema)) as opened:
        yield opened


def run_of(id: str) -> Run:
    return Run(
        id=id, number=0, source="input", parent=None, previous=None, step=-1, status="running", input=b"", created_s=0.0
    )


def begin(thread: ThreadKey = THREAD, id: str = "r1", head: Run | None = None) -> Begin:
    return Begin(thread=thread, run=run_of(id), head=head, owner="a", until_s=1e12, now_s=1.0)


def record(key: str) -> Record:
    return Record(
        key=key, name="t", fingerprint=b"", arguments="", state="value", outcome=b"o", attempts=1, started_s=1.0,
        ended_s=2.0,
    )  # fmt: skip


def count_flow(saver: Checkpointer) -> list[int]:
    """Run a workflow of three tasks, and return what its runs gave so far."""

    @task
    def step(x: int) -> int:
        return x + 1

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> int:
        return sum(step(n).result() for n in range(x))

    flow.invoke(3, {"configurable": {"thread_id": "1"}})
    return [run.number for run in saver.execute(ListRuns(THREAD))]


class TestAddresses:
    def test_what_is_no_address_is_refused_without_repeating_it(self) -> None:
        with pytest.raises(InvalidOption, match="no address") as caught:
            PostgresSaver("postgres//me:secret@host")
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None

    @pytest.mark.parametrize("schema", ["", "x" * 64, 5, "a\0b"])
    def test_what_is_no_schema_is_refused(self, schema: str) -> None:
        with pytest.raises(InvalidOption, match="schema is a name"):
            PostgresSaver("postgresql://host/name", schema=schema)

    @pytest.mark.parametrize("where", [None, 5, b"postgresql://host/name"])
    def test_what_is_neither_address_nor_pool_is_refused(self, where: object) -> None:
        with pytest.raises(InvalidOption, match=r"an address or a psycopg_pool\.ConnectionPool"):
            PostgresSaver(where)  # type: ignore[arg-type]

    def test_an_async_pool_is_refused_and_says_what_serves_async_code(self) -> None:
        pool = AsyncConnectionPool("host=nowhere", open=False)
        with pytest.raises(InvalidOption, match="which serves async code, too"):
            PostgresSaver(pool)  # type: ignore[arg-type]

    def test_a_server_that_is_not_there_is_named_at_once_and_without_the_password(self) -> None:
        with contextlib.closing(PostgresSaver("postgresql://me:secret@127.0.0.1:1/name")) as saver:
            with pytest.raises(Unavailable, match=r"postgresql://me@127\.0\.0\.1:1/name") as caught:
                saver.execute(Load(THREAD))
            assert "secret" not in str(caught.value) + repr(saver.database) + str(caught.value.__cause__)

    def test_a_database_that_is_not_there_is_named(self, postgres: str) -> None:
        saver = PostgresSaver(psycopg.conninfo.make_conninfo(postgres, dbname="nowhere"))
        with contextlib.closing(saver), pytest.raises(Unavailable, match="nowhere"):
            saver.setup()

    def test_a_closed_database_says_so(self, database: PostgresDatabase) -> None:
        database.close()
        database.close()
        with pytest.raises(Unavailable, match="closed"):
            PostgresSaver(database).execute(Load(THREAD))

    def test_the_same_place_commits_together_and_another_schema_does_not(self, postgres: str) -> None:
        one, same, other = (PostgresDatabase(postgres, schema=schema) for schema in ("a", "a", "b"))
        assert one.identity == same.identity != other.identity


class TestDatabase:
    def test_it_shows_no_password(self) -> None:
        with Database("postgresql://me:secret@host:5432/name") as database:
            assert repr(database) == "Database('postgresql://me@host:5432/name')"

    def test_a_memory_is_committed_with_the_record_of_its_task(self, postgres: str, postgres_schema: str) -> None:
        with Database(postgres, schema=postgres_schema) as database:
            appends = Counting(database.checkpointer)

            @task
            def remember(x: int, store: BaseStore) -> int:
                store.put(("told",), "k", {"x": x})
                return x

            @entrypoint(database=database)
            def flow(x: int) -> int:
                return int(remember(x).result())  # type: ignore[call-arg]  # the store is injected

            assert flow.invoke(5, {"configurable": {"thread_id": "1"}}) == 5
            item = database.store.get(("told",), "k")
            assert item is not None
            assert item.value == {"x": 5}
            assert [len(append.writes) for append in appends.seen] == [1, 0]

    def test_a_pool_will_do(self, postgres: str, postgres_schema: str) -> None:
        with ConnectionPool(postgres, open=True) as pool, Database(pool, schema=postgres_schema) as database:
            assert count_flow(database.checkpointer) == [0]

    def test_a_pool_may_make_rows_of_any_kind(self, postgres: str, postgres_schema: str) -> None:
        kinds = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        for _ in range(2):  # with tables to make, and with tables there
            with (
                ConnectionPool(postgres, kwargs=kinds, open=True) as pool,
                Database(pool, schema=postgres_schema) as db,
            ):
                db.store.put(("a",), "k", {"v": 1})
                assert [item.value for item in db.store.search(("a",))] == [{"v": 1}]
                assert 0 in count_flow(db.checkpointer)

    def test_options_of_another_engine_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidOption, match="synchronous"):
            Database("postgresql://host/name", synchronous="NORMAL")
        with pytest.raises(InvalidOption, match="schemas"):
            Database(tmp_path / "app.db", schema="mine")


class Counting:
    """Sees the appends of a checkpointer."""

    def __init__(self, saver: Checkpointer) -> None:
        self.seen: list[Append] = []
        self._execute = saver.execute
        saver.execute = self._see  # type: ignore[method-assign]

    def _see(self, operation: Any) -> Any:
        if isinstance(operation, Append):
            self.seen.append(operation)
        return self._execute(operation)


class TestUsersPool:
    def test_it_is_used_given_back_as_it_was_and_left_open(self, postgres: str, postgres_schema: str) -> None:
        with ConnectionPool(postgres, min_size=1, max_size=1, open=True) as pool:
            with contextlib.closing(PostgresSaver(pool, schema=postgres_schema)) as saver:
                assert count_flow(saver) == [0]
                assert count_flow(saver) == [1, 0]
            with pool.connection() as connection:
                assert not connection.autocommit
                assert connection.prepare_threshold == 5
                assert connection.execute("SHOW search_path").fetchone() == ('"$user", public',)
                prepared = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
                assert prepared == (0,)

    def test_a_closed_one_is_named(self, postgres: str) -> None:
        pool = ConnectionPool(postgres, open=False)
        with pytest.raises(Unavailable, match=r"pool .* is closed"):
            PostgresSaver(pool).setup()


class TestSchemas:
    def test_ten_processes_that_start_together_make_the_tables_once(self, postgres: str, postgres_schema: str) -> None:
        program = textwrap.dedent(f"""
            from clew import PostgresSaver
            from clew.storage.base import ListThreads
            saver = PostgresSaver({postgres!r}, schema={postgres_schema!r})
            assert list(saver.execute(ListThreads())) == []
        """)
        command = [sys.executable, "-W", "error", "-c", program]
        started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(10)]
        assert [(each.communicate()[1], each.returncode) for each in started] == [("", 0)] * 10

    def test_tables_are_seen_as_they_are_now_also_within_a_transaction(
        self, postgres: str, postgres_schema: str
    ) -> None:
        with (
            psycopg.connect(postgres, autocommit=True) as first,
            psycopg.connect(postgres, autocommit=True) as second,
        ):
            first.execute(f"CREATE SCHEMA {postgres_schema}".encode())
            with second.transaction():
                assert migrations.version(second, postgres_schema, "here") == (0, None)
                first.execute(
                    f"CREATE TABLE {postgres_schema}.clew_schema AS SELECT 1 AS version, 'w' AS wakeups".encode()
                )
                assert migrations.version(second, postgres_schema, "here") == (1, "w")

    @pytest.mark.parametrize("has_pool", [False, True], ids=["our pool", "the user's pool"])
    def test_writers_see_what_others_committed_whatever_isolation_is_usual(
        self, has_pool: bool, postgres: str, postgres_schema: str
    ) -> None:
        strict = psycopg.conninfo.make_conninfo(postgres, options="-c default_transaction_isolation=serializable")
        with ConnectionPool(strict, min_size=1, max_size=1) as pool:
            source = pool if has_pool else strict
            with contextlib.closing(PostgresDatabase(source, schema=postgres_schema)) as database:
                told = database.transact("write", lambda lent: lent.execute("SHOW transaction_isolation").fetchone())
                assert told == ("read committed",)
                assert count_flow(PostgresSaver(database)) == [0]

    @pytest.mark.parametrize("is_made", [False, True], ids=["no schema", "an empty schema"])
    def test_who_waited_for_another_to_make_the_tables_finds_them(
        self, is_made: bool, postgres: str, postgres_schema: str
    ) -> None:
        waits = "SELECT count(*) FROM pg_locks WHERE pid = %s AND locktype = 'advisory' AND NOT granted"
        with (
            psycopg.connect(postgres, autocommit=True) as first,
            psycopg.connect(postgres, autocommit=True) as second,
            ThreadPoolExecutor(1) as threads,
        ):
            if is_made:
                first.execute(f"CREATE SCHEMA {postgres_schema}".encode())
            with first.transaction():
                first.execute("SELECT pg_advisory_xact_lock(%s)", (migrations.lock_of(postgres_schema),))
                waiting = threads.submit(migrations.migrate, second, postgres_schema, "here")
                eventually(lambda: first.execute(waits, (second.info.backend_pid,)).fetchone() == (1,))
                for statement in migrations.pending(first, postgres_schema, "here"):
                    first.execute(statement.encode())
            waiting.result()
            assert migrations.pending(second, postgres_schema, "here") == []

    def test_what_is_pending_can_be_read_and_run_by_somebody_else(
        self, database: PostgresDatabase, postgres: str
    ) -> None:
        script = database.pending()
        with psycopg.connect(postgres) as connection:
            for part in script:
                connection.execute(part.encode())
        assert database.pending() == []
        assert count_flow(PostgresSaver(database)) == [0]

    def test_tables_of_a_newer_version_are_left_alone(self, database: PostgresDatabase, postgres: str) -> None:
        database.setup()
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"UPDATE {database.schema}.clew_schema SET version = version + 1".encode())
        saver = PostgresSaver(postgres, schema=database.schema)
        with contextlib.closing(saver), pytest.raises(SchemaMismatch, match="a newer clew made them; upgrade"):
            saver.execute(ListThreads())

    def test_any_name_is_a_schema(self, postgres: str) -> None:
        name = 'it\'s "odd"; --'
        with contextlib.closing(PostgresSaver(postgres, schema=name)) as saver:
            assert count_flow(saver) == [0]
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(psycopg.sql.SQL("DROP SCHEMA {} CASCADE").format(psycopg.sql.Identifier(name)))

    def test_two_schemas_know_nothing_of_each_other(self, postgres: str, database: PostgresDatabase) -> None:
        with (
            servers.fresh_schema(postgres) as other,
            contextlib.closing(PostgresSaver(postgres, schema=other)) as saver,
        ):
            assert count_flow(PostgresSaver(database)) == [0]
            assert count_flow(saver) == [0]


class TestTexts:
    @pytest.mark.parametrize("text", ["", "a\0b", "\ud800", "\udfff\0", "\uffff", "\uffff0000", "\uffffd800", "é😀"])
    def test_any_text_can_be_held_and_comes_back(self, text: str, postgres_database: PostgresDatabase) -> None:
        assert from_held(to_held(text)) == text
        saver, thread = PostgresSaver(postgres_database), ThreadKey(text, text)
        lease = saver.execute(begin(thread))
        kept = replace(record(text), name=text, arguments=text)
        saver.execute(Append(lease=lease, records=[kept], end=End(status="failed", error=text, ended_s=1.0)))
        assert list(saver.execute(LoadRecords("r1"))) == [kept]
        assert list(saver.execute(ListThreads())) == [thread]
        run = saver.execute(Load(thread))
        assert run is not None
        assert run.error == text

    def test_different_texts_stay_different(self) -> None:
        texts = ["\0", "\uffff0000", "\uffff", "\uffffffff", "\ud800", "\uffffd800", "0000"]
        assert len({to_held(text) for text in texts}) == len(texts)


class TestLostConnections:
    def test_a_restart_of_the_server_goes_unnoticed(self) -> None:
        with servers.own_server() as server, contextlib.closing(PostgresSaver(server.address)) as saver:
            assert count_flow(saver) == [0]
            server.restart()
            assert count_flow(saver) == [1, 0]
            server.restart()
            lease = saver.execute(begin(ThreadKey("2", "flow"), "r2"))
            server.restart()
            saver.execute(Append(lease=lease, records=[record("a")]))
            server.restart()

            async def look() -> int:
                return len(await saver.aexecute(LoadRecords("r2")))

            assert asyncio.run(look()) == 1

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_a_write_whose_answer_was_lost_is_done_once(
        self, moment: str, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The connection goes before the write reaches the server, or after it was committed there."""
        saver = PostgresSaver(database)
        database.setup()
        losing = Losing(monkeypatch, moment)
        losing.next()
        lease = saver.execute(begin())
        losing.next()
        assert saver.execute(Append(lease=lease, records=[record("a"), record("b")])) is None
        losing.next()
        saver.execute(Append(lease=lease, records=[record("c")], end=End(status="done", value=b"v", ended_s=3.0)))
        assert losing.times == 3
        assert [kept.key for kept in saver.execute(LoadRecords("r1"))] == ["a", "b", "c"]
        run = saver.execute(Load(THREAD))
        assert run is not None
        assert (run.status, run.attempts, run.value) == ("done", 1, b"v")

    def test_another_writers_record_is_no_answer_that_was_lost(
        self, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        saver = PostgresSaver(database)
        lease = saver.execute(begin())
        saver.execute(Append(lease=lease, records=[replace(record("a"), outcome=b"other")]))
        losing = Losing(monkeypatch, "before")
        losing.next()
        with pytest.raises(Conflict, match="recorded by another writer"):
            saver.execute(Append(lease=lease, records=[record("a")]))

    def test_a_transaction_that_was_lost_before_its_end_is_done_again(self, database: PostgresDatabase) -> None:
        tries: list[int] = []

        def work(connection: psycopg.Connection) -> int:
            tries.append(1)
            connection.execute("INSERT INTO clew_threads (thread_id, workflow, changed_s) VALUES ('x', 'y', 0)")
            if len(tries) == 1:
                connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            return len(tries)

        assert database.write(work) == 2
        assert list(database.read(lambda c: c.execute("SELECT count(*) FROM clew_threads").fetchall())) == [(1,)]

    def test_a_frozen_transaction_lets_others_go_on(
        self, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sessions, "_FROZEN_S", 0.2)
        saver = PostgresSaver(database)
        lease = saver.execute(begin())
        frozen, go_on = threading.Event(), threading.Event()

        def freeze(connection: psycopg.Connection) -> None:
            connection.execute("UPDATE clew_threads SET changed_s = 5")
            frozen.set()
            go_on.wait(30)

        with ThreadPoolExecutor(1) as pool:
            stuck = pool.submit(database.write, freeze)
            frozen.wait(30)
            saver.execute(Append(lease=lease, records=[record("a")]))
            go_on.set()
            stuck.result()  # it was taken back, and done again

    def test_a_write_that_is_interrupted_leaves_no_session_that_is_busy(
        self, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        saver = PostgresSaver(database)
        lease = saver.execute(begin())
        append = Append(lease=lease, records=[record("a")], end=End(status="done", value=b"v", ended_s=3.0))

        def interrupt(*_: object, **__: object) -> bool:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(exchanging, "wait", interrupt)
            patch.setattr(connections, "wait", lambda *_, **__: False)
            with pytest.raises(KeyboardInterrupt):
                saver.execute(append)
        assert saver.execute(Load(THREAD)) is not None
        assert len(list(saver.execute(ListRuns(THREAD)))) == 1


class Losing:
    """Cuts a connection around the next call that writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
        self.times = 0
        self._armed = False
        self._moment = moment
        self._exchange = database_module.exchange
        monkeypatch.setattr(database_module, "exchange", self._losing)

    def next(self) -> None:
        self._armed = True

    def _losing(self, connection: psycopg.Connection, *rest: object) -> object:
        if not self._armed:
            return self._exchange(connection, *rest)  # type: ignore[arg-type]
        self._armed = False
        self.times += 1
        if self._moment == "after":
            self._exchange(connection, *rest)  # type: ignore[arg-type]
        connection.close()
        raise psycopg.OperationalError("the connection was lost")


class TestOnTheLoop:
    """An async call that comes while no other is under way."""

    def test_one_after_another_wakes_no_os_thread(self, database: PostgresDatabase) -> None:
        saver = PostgresSaver(database)
        lease = saver.execute(begin())

        def committing() -> set[threading.Thread]:
            return {each for each in threading.enumerate() if "clew-postgres-commit" in each.name}

        async def append() -> None:
            for number in range(5):
                await saver.aexecute(Append(lease=lease, records=[record(f"a#{number}")]))

        others = committing()  # those of other databases
        asyncio.run(append())
        assert committing() <= others
        assert len(saver.execute(LoadRecords("r1"))) == 5

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_a_write_whose_answer_was_lost_is_done_once(
        self, moment: str, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        saver = PostgresSaver(database)
        lease = saver.execute(begin())
        lost: list[Any] = []

        def losing(pgconn: Any, *rest: Any) -> Any:
            if not lost:
                lost.append(pgconn)
                if moment == "after":
                    yield from exchanging.exchanging(pgconn, *rest)
                pgconn.finish()
                raise psycopg.OperationalError("the connection was lost")
            return (yield from exchanging.exchanging(pgconn, *rest))

        monkeypatch.setattr(database_module, "exchanging", losing)
        asyncio.run(saver.aexecute(Append(lease=lease, records=[record("a")])))
        assert lost
        assert [kept.key for kept in saver.execute(LoadRecords("r1"))] == ["a"]

    def test_a_cancelled_write_is_finished(self, database: PostgresDatabase) -> None:
        saver = PostgresSaver(database)
        lease = saver.execute(begin())
        told = []

        async def append() -> None:
            told.append(await saver.aexecute(Append(lease=lease, records=[record("a")])))
            await asyncio.sleep(10)

        async def cancel() -> None:
            with database._lent() as connection, connection.transaction():
                with database._lent():  # which is free afterwards
                    pass
                appending = asyncio.ensure_future(append())
                connection.execute(f"SELECT 1 FROM {database.schema}.clew_threads FOR UPDATE".encode())
                while not _waits_for_a_lock(connection):
                    await asyncio.sleep(0.001)
                appending.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await appending

        asyncio.run(cancel())
        assert told == [None]
        assert [kept.key for kept in saver.execute(LoadRecords("r1"))] == ["a"]


def _waits_for_a_lock(connection: psycopg.Connection) -> bool:
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    return connection.execute(waiting).fetchone() is not None


class TestSessions:
    def test_one_of_our_own_is_set_up_once(self, database: PostgresDatabase) -> None:
        assert count_flow(PostgresSaver(database)) == [0]

        def settings(connection: psycopg.Connection) -> list[Any]:
            names = ("idle_in_transaction_session_timeout", "lock_timeout", "search_path")
            return [(connection.execute(f"SHOW {name}".encode()).fetchone() or ("",))[0] for name in names]

        assert database.apart(settings) == ["10s", "30s", f'"{database.schema}"']

    def test_statements_that_a_session_was_made_to_forget_are_prepared_anew(self, database: PostgresDatabase) -> None:
        saver = PostgresSaver(database)
        lease = saver.execute(begin())
        for key in ("a", "b", "c"):
            saver.execute(Append(lease=lease, records=[record(key)]))
            database.apart(lambda connection: connection.execute("DEALLOCATE ALL"))
        assert [kept.key for kept in saver.execute(LoadRecords("r1"))] == ["a", "b", "c"]


class TestProcesses:
    def test_a_forked_child_opens_its_own_connections(self, database: PostgresDatabase) -> None:
        saver = PostgresSaver(database)
        assert count_flow(saver) == [0]
        pid = os.fork()
        if not pid:
            code = 1
            try:
                code = 0 if count_flow(saver) == [1, 0] else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert count_flow(saver) == [2, 1, 0]

    @pytest.mark.parametrize("closes", [True, False])
    def test_a_program_ends_without_a_word(self, closes: bool, postgres: str, postgres_schema: str) -> None:
        program = textwrap.dedent(f"""
            import asyncio
            from clew import PostgresSaver
            from clew.storage.base import Load
            from clew.engine.records import ThreadKey
            saver = PostgresSaver({postgres!r}, schema={postgres_schema!r})
            saver.execute(Load(ThreadKey("1", "f")))
            asyncio.run(saver.aexecute(Load(ThreadKey("1", "f"))))
            if {closes}:
                saver.close()
        """)
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", program]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")

    def test_one_object_serves_many_loops_and_blocking_code_at_once(self, database: PostgresDatabase) -> None:
        saver = PostgresSaver(database)

        @entrypoint(checkpointer=saver)
        async def later(x: int) -> int:
            return x

        @entrypoint(checkpointer=saver)
        def now(x: int) -> int:
            return x

        async def many(loop: int) -> list[int]:
            calls = [later.ainvoke(n, {"configurable": {"thread_id": f"{loop}-{n}"}}) for n in range(20)]
            return list(await asyncio.gather(*calls))

        with ThreadPoolExecutor(6) as pool:
            loops = [pool.submit(asyncio.run, many(loop)) for loop in range(3)]
            blocking = [pool.submit(now.invoke, n, {"configurable": {"thread_id": f"b{n}"}}) for n in range(20)]
            assert [loop.result() for loop in loops] == [list(range(20))] * 3
            assert [call.result() for call in blocking] == list(range(20))
