"""What a task costs beside its own body, counted: calls of functions, statements, commits, round trips.

The bounds are near today's figures; for the goals, see docs/performance.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from clew import Checkpointer, InMemorySaver, PostgresSaver, PostgresStore, SqliteSaver, Workflow, entrypoint, task
from clew.engine.records import Queued, ThreadKey
from clew.storage.base import ListRuns, ListThreads, Load, LoadEvents, LoadPieces, LoadRecords, Operation
from clew.storage.postgres.database import PostgresDatabase
from clew.storage.queueing import Enqueue, ListQueue
from clew.storage.sqlite import database
from support.colours import PATIENCE_S, thread
from support.counting import calls, heard_statements, traced
from support.postgres import fresh_schema
from support.working import eventually


@task
def step(n: int) -> int:
    return n


@task
async def astep(n: int) -> int:
    return n


def one_after_another(saver: Checkpointer | None) -> Workflow[int, int]:
    @entrypoint(checkpointer=saver)
    def flow(n: int) -> int:
        return sum(step(i).result() for i in range(n)) - sum(range(n))

    return flow


def per_task(saver: Checkpointer | None, before: int = 100) -> float:
    """Count the calls that a task takes after so many others."""

    @entrypoint(checkpointer=saver)
    def flow(n: int) -> float:
        for i in range(n):
            step(i).result()
        return calls(lambda: [step(i).result() for i in range(100)]) / 100

    return flow.invoke(before, thread(str(before)))


def saver_of(kind: str, tmp_path: Path) -> Checkpointer | None:
    return {"none": lambda: None, "memory": InMemorySaver, "sqlite": lambda: SqliteSaver(tmp_path / "db")}[kind]()


@pytest.mark.parametrize(("kind", "most"), [("none", 20), ("memory", 57), ("sqlite", 41)])
def test_how_many_calls_a_task_takes(kind: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_CHECK_EVERY_S", 3600)  # else a busy machine looks for the file more often
    assert per_task(saver_of(kind, tmp_path)) <= most


def test_how_many_calls_the_answer_of_a_recorded_task_takes() -> None:
    counted: list[float] = []

    @entrypoint(checkpointer=InMemorySaver())
    def flow(n: int) -> None:
        counted.append(calls(lambda: [step(i).result() for i in range(n)]) / n)
        if len(counted) == 1:
            raise KeyError("broken")

    with pytest.raises(KeyError):
        flow.invoke(100, thread("1"))
    flow.invoke(None, thread("1"))
    assert counted[1] <= 18


@pytest.mark.parametrize("kind", ["none", "memory", "sqlite"])
def test_a_late_task_takes_no_more_calls_than_an_early_one(kind: str, tmp_path: Path) -> None:
    saver = saver_of(kind, tmp_path)
    assert per_task(saver, 10_000) <= 1.2 * per_task(saver, 100)


def test_a_recorded_task_is_one_statement_that_commits_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = heard_statements(monkeypatch)
    flow = one_after_another(SqliteSaver(tmp_path / "db"))
    flow.invoke(1, thread("warm"))
    for n in (100, 10_000):
        heard.clear()
        flow.invoke(n, thread(str(n)))
        told = [statement for statement in heard if "clew_records" in statement]
        assert len(told) <= n + 1  # each task's, and the look for what a run left
        assert heard.count("BEGIN IMMEDIATE") < 20  # the run begins and ends, and its lease is renewed


def test_how_many_statements_and_commits_a_turn_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = heard_statements(monkeypatch)
    flow = one_after_another(SqliteSaver(tmp_path / "db"))
    for _ in range(3):
        heard.clear()
        flow.invoke(0, thread())
    assert heard.count("BEGIN IMMEDIATE") <= 2  # it begins, it ends
    assert len(heard) <= 16


def test_the_newest_checkpoints_are_shown_without_a_look_at_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = heard_statements(monkeypatch)
    flow, counts = one_after_another(SqliteSaver(tmp_path / "db")), list[int]()
    for runs in (20, 200):
        for _ in range(runs):
            flow.invoke(0, thread(str(runs)))
        heard.clear()
        shown = [snapshot for snapshot, _ in zip(flow.get_state_history(thread(str(runs))), range(4), strict=False)]
        assert [(snapshot.metadata or {})["step"] for snapshot in shown] == [2 * runs - 2 - n for n in range(4)]
        counts.append(len(heard))
    assert counts[0] == counts[1] <= 40


def test_async_tasks_that_end_together_share_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = heard_statements(monkeypatch)

    @entrypoint(checkpointer=SqliteSaver(tmp_path / "db"))
    async def flow(n: int) -> int:
        return len(await asyncio.gather(*[astep(i) for i in range(n)]))

    heard.clear()
    assert asyncio.run(flow.ainvoke(1000, thread())) == 1000
    assert heard.count("BEGIN IMMEDIATE") < 200


@pytest.fixture(scope="module")
def one_session(postgres: str) -> Iterator[PostgresDatabase]:
    """A database that is never asked for two things at once, so that it keeps one session, which learns once."""
    with fresh_schema(postgres) as schema, contextlib.closing(PostgresDatabase(postgres, schema=schema)) as database:
        yield database


def test_a_recorded_task_is_one_round_trip(one_session: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    with traced(monkeypatch) as trace:
        flow = one_after_another(PostgresSaver(one_session))
        flow.invoke(1, thread("warm"))
        seen = [trace.round_trips()]
        for n in (0, 20):
            flow.invoke(n, thread("1"))
            seen.append(trace.round_trips())
    turn = seen[1] - seen[0]
    assert turn <= 4  # it looks, begins and ends
    assert seen[2] - seen[1] - turn <= 20 + 2  # two more may be this process asking after its lease


def test_a_run_reads_no_other_threads_before_the_tables_are_analyzed(postgres: str, postgres_schema: str) -> None:
    runs = 150
    with contextlib.closing(PostgresDatabase(postgres, schema=postgres_schema)) as database:
        flow = one_after_another(PostgresSaver(database))
        for number in range(runs):
            flow.invoke(1, thread(str(number)))
    asked = (
        "SELECT sum(idx_tup_read) + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = %s) "
        "FROM pg_stat_user_indexes WHERE schemaname = %s"
    )
    read: list[int] = []
    with psycopg.connect(postgres, autocommit=True) as connection:

        def is_told() -> bool:
            read[:] = connection.execute(asked, (postgres_schema, postgres_schema)).fetchone() or ()
            return read[0] > runs

        eventually(is_told)  # sessions tell it when they end
    assert read[0] < 20 * runs  # each thread would read 75 others


THREAD = ThreadKey("1", "flow")
ONE_ROUND_TRIP: list[Operation[Any]] = [
    Load(THREAD), LoadRecords("r"), ListRuns(THREAD), LoadPieces("p"), ListThreads(), ListQueue(THREAD),
    LoadEvents("r"), Enqueue(Queued(id="p", thread=THREAD, created_s=1.0)),
]  # fmt: skip


@pytest.mark.parametrize("operation", ONE_ROUND_TRIP, ids=lambda operation: type(operation).__name__)
def test_a_plain_read_and_a_submission_are_one_round_trip(
    operation: Operation[Any], one_session: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver = PostgresSaver(one_session)
    with traced(monkeypatch) as trace:
        seen = []
        for _ in range(3):  # the first time a session learns the statement
            saver.execute(operation)
            seen.append(trace.round_trips())
    assert seen[2] - seen[1] == 1


def test_a_memory_is_read_and_written_in_one_round_trip(
    one_session: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(one_session)
    seen = []
    with traced(monkeypatch) as trace:
        for number in range(2):
            store.put(("a",), "k", {"n": number})
            seen.append(trace.round_trips())
            store.get(("a",), "k")
            seen.append(trace.round_trips())
    assert [seen[2] - seen[1], seen[3] - seen[2]] == [1, 1]


@pytest.mark.parametrize("kind", ["none", "sqlite"])
def test_a_thread_pool_is_not_touched_by_tasks_one_after_another(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clew.runner import futures

    handed_over: list[Any] = []
    monkeypatch.setattr(futures.pools, "tasks", lambda: handed_over.append(1))
    one_after_another(saver_of(kind, tmp_path)).invoke(50, thread())
    assert not handed_over


def test_blocking_tasks_that_wait_for_one_another_all_get_a_thread() -> None:
    meeting = threading.Barrier(60)

    @task
    def meet(n: int) -> int:
        return meeting.wait(PATIENCE_S)

    @entrypoint()
    def flow(n: int) -> int:
        return len({future.result() for future in [meet(i) for i in range(n)]})

    assert flow.invoke(60) == 60
