"""What SQLite does on an event loop itself, and what it leaves to its OS threads."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from clew.storage.pace import Pace
from clew.storage.sqlite.database import SqliteDatabase
from clew.storage.sqlite.failing import BUSY_TIMEOUT_S


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    with closing(SqliteDatabase(tmp_path / "a.db")) as database:
        database.write(lambda connection: connection.execute("CREATE TABLE mine (n INTEGER)"))
        yield database


def insert(connection: sqlite3.Connection) -> int:
    return connection.execute("INSERT INTO mine VALUES (1)").rowcount


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM mine").fetchone()[0])


def test_another_process_that_writes_holds_up_no_event_loop(database: SqliteDatabase) -> None:
    async def main() -> None:
        begun_s = time.monotonic()
        assert await database.awrite_at_once(insert) is None
        database._commits = Pace()
        write = asyncio.ensure_future(database.awrite(insert))
        await asyncio.sleep(0.01)
        assert await database.aglance(count) == 0
        assert time.monotonic() - begun_s < BUSY_TIMEOUT_S / 2
        assert not write.done()
        other.execute("COMMIT")
        assert await write == 1

    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        asyncio.run(main())
    assert database.read(count) == 1


def test_of_callers_that_come_together_one_commits_alone(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.storage.pace._TURN_S", 0.0)
    monkeypatch.setattr("clew.storage.pace._MOST_S", 1000.0)

    async def main() -> list[int | None]:
        return await asyncio.gather(*[database.awrite_at_once(insert) for _ in range(3)])

    assert asyncio.run(main()) == [1, None, None]


def test_a_caller_that_is_cancelled_while_it_commits_learns_of_it_afterwards(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.storage.pace._TURN_S", 0.0)
    monkeypatch.setattr("clew.storage.pace._MOST_S", 1000.0)

    async def write() -> tuple[int | None, bool]:
        done = await database.awrite_at_once(insert)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return done, True
        return done, False

    async def main() -> tuple[int | None, bool]:
        task = asyncio.ensure_future(write())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(main()) == (1, True)
    assert database.read(count) == 1


@pytest.mark.parametrize(("after_s", "turns"), [(0.0, 50), (1.0, 0)])
def test_reads_and_commits_one_after_another_let_others_on_the_loop_have_their_turn(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch, after_s: float, turns: int
) -> None:
    monkeypatch.setattr("clew.storage.pace._TURN_S", after_s)
    monkeypatch.setattr("clew.storage.pace._MOST_S", 1000.0)  # on a slow machine, too

    async def main() -> int:
        seen = 0

        async def others() -> None:
            nonlocal seen
            while True:
                await asyncio.sleep(0)
                seen += 1

        beside = asyncio.ensure_future(others())
        await asyncio.sleep(0)
        for _ in range(25):
            await database.aglance(count)
            await database.awrite_at_once(insert)
        beside.cancel()
        return seen

    assert asyncio.run(main()) == turns
