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


def test_of_callers_that_come_together_one_commits_alone(database: SqliteDatabase) -> None:
    async def main() -> list[int | None]:
        return await asyncio.gather(*[database.awrite_at_once(insert) for _ in range(3)])

    assert asyncio.run(main()) == [1, None, None]


def test_a_caller_that_is_cancelled_while_it_commits_learns_of_it_afterwards(database: SqliteDatabase) -> None:
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


def test_reads_one_after_another_let_others_on_the_loop_have_their_turn(database: SqliteDatabase) -> None:
    async def main() -> int:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.ensure_future(others())
        for _ in range(50):
            await database.aglance(count)
        beside.cancel()
        return turns

    assert asyncio.run(main()) >= 49
