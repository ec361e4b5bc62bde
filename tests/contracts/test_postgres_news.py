"""What a PostgreSQL database tells others: wake-ups for workers, and news for those who wait."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from clew import Limit, PostgresSaver, RunCancelled, Worker, entrypoint, task
from clew.engine.events import StreamMode
from clew.engine.records import Queued, ThreadKey
from clew.errors import SchemaMismatch
from clew.runner import leases, submitting
from clew.storage.base import Ask
from clew.storage.postgres import listening, news, wakeups
from clew.storage.postgres.database import PostgresDatabase
from clew.storage.postgres.exchanging import carry_out
from clew.storage.postgres.queue import enqueue
from clew.storage.queueing import Enqueue, LeaveQueue
from clew.testing.contracts.threads import begin, end
from support.colours import PATIENCE_S, thread
from support.processes import start
from support.working import eventually, working

THREAD = ThreadKey("1", "flow")
LONG_S = 1000.0  # who looked from time to time only would not get to it in a test

WORKER = """
import os, threading
saver = PostgresSaver({address!r}, schema={schema!r})
busy = threading.Event()

@entrypoint(checkpointer=saver)
def flow(x):
    if x == "busy":
        say("busy")
        hear()
        say("free")
    return [x, os.getpid()]

threading.Thread(target=Worker(saver, [flow], concurrency=1, poll_s={poll_s}).run, daemon=True).start()
say("ready")
busy.wait()
"""


@pytest.fixture
def saver(postgres_database: PostgresDatabase) -> PostgresSaver:
    return PostgresSaver(postgres_database)


@pytest.fixture
def elsewhere(postgres: str, postgres_database: PostgresDatabase) -> Iterator[PostgresSaver]:
    """The same tables under another name, so that nothing is heard of them within this process."""
    with contextlib.closing(PostgresSaver(f"{postgres}&application_name=x", schema=postgres_database.schema)) as other:
        other.database.identity = "elsewhere"
        yield other


@pytest.fixture
def _only_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody look who was not told to."""
    monkeypatch.setattr(submitting, "_LOOK_S", LONG_S)
    monkeypatch.setattr(submitting, "_LONGEST_LOOK_S", LONG_S)


def place(id: str = "p1", due_s: float = 0.0, owner: str | None = None) -> Queued:
    return Queued(id=id, thread=THREAD, owner=owner, due_s=due_s, created_s=1.0)


def jobs(saver: PostgresSaver) -> list[tuple[str, int]]:
    """Return the wake-ups that are on their way, and how many jobs there are in all."""
    return saver.database.read(
        lambda connection: connection.execute(
            "SELECT status::text, count(*)::int FROM procrastinate_jobs GROUP BY status ORDER BY status"
        ).fetchall()
    )


class TestSending:
    def test_a_submitted_call_sends_one_wake_up_for_its_thread(self, saver: PostgresSaver) -> None:
        assert saver.execute(Enqueue(place("a")))
        assert saver.execute(Enqueue(place("b")))
        assert not saver.execute(Enqueue(place("b")))
        assert jobs(saver) == [("todo", 1)]

    def test_one_is_sent_together_with_its_call_or_not_at_all(self, saver: PostgresSaver) -> None:
        def work(connection: psycopg.Connection) -> None:
            assert carry_out(connection, enqueue(Enqueue(place())))
            raise KeyError

        with pytest.raises(KeyError):
            saver.database.write(work)
        assert jobs(saver) == []

    def test_none_is_sent_for_what_is_to_wait_or_for_callers(self, saver: PostgresSaver) -> None:
        assert saver.execute(Enqueue(place("later", due_s=1e10)))
        assert saver.execute(Enqueue(place("caller", owner="a/1/1")))
        assert jobs(saver) == []

    def test_none_stands_in_the_way_of_one_while_a_run_is_under_way(self, saver: PostgresSaver) -> None:
        saver.execute(Enqueue(place("a")))
        saver.database.write(lambda connection: connection.execute("UPDATE procrastinate_jobs SET status = 'doing'"))
        saver.execute(Enqueue(place("b")))
        assert jobs(saver) == [("doing", 1), ("todo", 1)]


class TestWorkers:
    def start(self, saver: PostgresSaver, postgres: str, poll_s: float = LONG_S) -> str:
        return WORKER.format(address=postgres, schema=saver.database.schema, poll_s=poll_s)

    def test_a_call_wakes_a_worker_that_has_room(self, saver: PostgresSaver, postgres: str) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: str) -> list[object]:
            return []

        program = self.start(saver, postgres)
        with start(program) as one, start(program) as other:
            one.hears("ready")
            other.hears("ready")
            eventually(lambda: self._attending(saver) == 2)
            first = flow.submit("busy", thread("a"))
            eventually(lambda: first.status() == "running")
            found = [flow.submit("b", thread(str(number))).result(PATIENCE_S) for number in range(5)]
            (free,) = {pid for _, pid in found}
            busy = other if free == one.pid else one
            busy.hears("busy")
            busy.say("go on")
            assert first.result(PATIENCE_S) == ["busy", busy.pid]

    def test_the_end_of_a_run_wakes_a_worker_whose_workflow_was_at_its_limit(
        self, saver: PostgresSaver, elsewhere: PostgresSaver
    ) -> None:
        @entrypoint(checkpointer=saver)
        def flow(x: int) -> int:
            return x

        lease = begin(elsewhere, "r1", now_s=time.time(), limit=Limit(concurrency=1))
        handle = flow.submit(1, thread("a"))
        with working(saver, flow, poll_s=LONG_S, limits={"flow": Limit(concurrency=1)}):
            eventually(lambda: jobs(saver) == [])  # its wake-up was taken, and led to nothing
            assert handle.status() == "queued"
            end(elsewhere, lease)
            assert handle.result(PATIENCE_S) == 1

    def test_one_takes_away_what_killed_ones_left(self, saver: PostgresSaver) -> None:
        saver.execute(Enqueue(place("a")))
        saver.execute(LeaveQueue("a"))
        saver.database.write(lambda connection: connection.execute("UPDATE procrastinate_jobs SET status = 'doing'"))

        @entrypoint(checkpointer=saver)
        def flow(x: str) -> str:
            return x

        worker = Worker(saver, [flow])
        working = threading.Thread(target=worker.run)
        working.start()
        eventually(lambda: jobs(saver) == [])
        worker.stop()
        working.join()

    def _attending(self, saver: PostgresSaver) -> int:
        found = saver.database.read(lambda c: c.execute("SELECT count(*) FROM procrastinate_workers").fetchall())
        return int(found[0][0])


@pytest.mark.usefixtures("_only_news")
class TestWaiting:
    def test_a_result_is_heard_of(self, saver: PostgresSaver, elsewhere: PostgresSaver) -> None:
        self._submit_and_wait(saver, elsewhere)

    def test_a_result_is_heard_of_after_the_connection_was_lost(
        self, saver: PostgresSaver, elsewhere: PostgresSaver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listening, "_RETRY_S", 0.01)
        self._submit_and_wait(saver, elsewhere)
        channel = news.name_of(saver.database.schema)  # others may test on the same server
        listens = f"query LIKE 'LISTEN \"{channel}\"%%' AND pid <> pg_backend_pid()"
        assert elsewhere.database.read(
            lambda c: c.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {listens}").fetchall()
        )
        self._submit_and_wait(saver, elsewhere)

    def test_events_are_heard_of(self, saver: PostgresSaver, elsewhere: PostgresSaver) -> None:
        handle, working, worker = self._begin(saver, elsewhere, "values")
        assert list(handle.stream()) == ["x"]
        worker.stop()
        working.join()

    def test_a_call_that_was_taken_back_is_heard_of(self, saver: PostgresSaver, elsewhere: PostgresSaver) -> None:
        heard = threading.Event()
        saver.execute(Enqueue(place()))
        leave = elsewhere.database.news.follow(THREAD, heard.set)
        assert heard.wait(PATIENCE_S)  # it listens: something may have been missed
        heard.clear()
        saver.execute(LeaveQueue("p1"))
        assert heard.wait(PATIENCE_S)
        leave()

    def test_a_run_hears_at_once_that_it_is_to_end(
        self, saver: PostgresSaver, elsewhere: PostgresSaver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases, "_WATCH_EVERY_S", 0.01)
        monkeypatch.setattr("clew.runner.workflows.keeper", leases.Keeper())

        @task
        async def lasts() -> None:
            await asyncio.sleep(LONG_S)

        @entrypoint(checkpointer=saver)
        async def flow(x: str) -> None:
            await lasts()

        with ThreadPoolExecutor(1) as aside:
            running = aside.submit(flow.invoke, "x", thread("asked"))
            eventually(lambda: news.name_of("flow", "asked", "asked") in saver.database.news._tells)
            for name in ("_WATCH_EVERY_S", "_RENEW_EVERY_S"):
                monkeypatch.setattr(leases, name, LONG_S)
            assert elsewhere.execute(Ask(ThreadKey("asked", "flow"), "cancel"))
            with pytest.raises(RunCancelled):
                running.result(PATIENCE_S)

    def _submit_and_wait(self, saver: PostgresSaver, elsewhere: PostgresSaver) -> None:
        handle, working, worker = self._begin(saver, elsewhere)
        assert handle.result(PATIENCE_S) == "x"
        worker.stop()
        working.join()

    def _begin(
        self, saver: PostgresSaver, elsewhere: PostgresSaver, mode: StreamMode | None = None
    ) -> tuple[submitting.Ticket, threading.Thread, Worker]:
        """Submit a call, and let a worker carry it out soon."""

        def flow(x: str) -> str:
            time.sleep(0.2)
            return x

        here, there = entrypoint(checkpointer=elsewhere)(flow), entrypoint(checkpointer=saver)(flow)
        handle = here.submit("x", thread(), stream_mode=mode)
        worker = Worker(saver, [there])
        working = threading.Thread(target=worker.run)
        working.start()
        return handle, working, worker


class TestPoolers:
    def test_behind_one_nothing_is_heard_and_nothing_left_behind(
        self, saver: PostgresSaver, elsewhere: PostgresSaver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = threading.Event()

        def is_pooled(connection: psycopg.Connection) -> bool:
            asked.set()
            return True

        monkeypatch.setattr(listening, "_is_pooled", is_pooled)

        @entrypoint(checkpointer=elsewhere)
        def flow(x: int) -> int:
            return x

        handle = flow.submit(1, thread())
        with contextlib.suppress(TimeoutError):
            handle.result(0.01)
        assert asked.wait(PATIENCE_S)
        assert flow.invoke(2, thread("other")) == 2
        assert handle.status() == "queued"

    def test_the_number_of_the_session_tells(self, postgres: str) -> None:
        with psycopg.connect(postgres, autocommit=True) as connection:
            assert not listening._is_pooled(connection)


class TestTables:
    def test_those_of_another_program_are_left_alone(self, postgres: str, postgres_schema: str) -> None:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {postgres_schema}".encode())
            connection.execute(f"CREATE TABLE {postgres_schema}.procrastinate_jobs ()".encode())
        with (
            contextlib.closing(PostgresSaver(postgres, schema=postgres_schema)) as saver,
            pytest.raises(SchemaMismatch, match="procrastinate tables of another program"),
        ):
            saver.setup()

    def test_a_newer_procrastinate_brings_them_up_to_date(self) -> None:
        assert wakeups.scripts(wakeups.made_by()) == []
        *newer, wake = wakeups.scripts("03.01.99")
        assert all("procrastinate_" in script for script in newer)
        assert newer
        assert "CREATE OR REPLACE FUNCTION clew_wake" in wake

    def test_names_are_the_same_here_and_there(self, saver: PostgresSaver) -> None:
        parts = ("flow", "thread ü")
        found = saver.database.read(lambda c: c.execute("SELECT clew_name_of(%s, %s)", parts).fetchall())
        assert found == [(news.name_of(*parts),)]
