"""A worker keeps the memories of its database tidy: what has expired goes, and old versions whose time is over."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clew import Database, Worker, entrypoint
from support.working import eventually

AN_INSTANT = 1 / 60_000_000  # one microsecond, in minutes


def rows(path: Path) -> tuple[int, ...]:
    tables = ("clew_items", "clew_item_versions", "clew_item_index")
    with closing(sqlite3.connect(path)) as connection:
        return tuple(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)


@pytest.mark.parametrize("given", ["database", "checkpointer"])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_worker_removes_what_has_expired_and_what_is_too_old(tmp_path: Path, given: str, is_async: bool) -> None:
    with Database(tmp_path / "a.db", history={"days": 1e-9}) as database:

        @entrypoint(database=database)
        def flow(x: int) -> int:
            return x

        database.store.put(("m",), "short", {"text": "zebra"}, ttl=AN_INSTANT)
        database.store.put(("m",), "kept", {"text": "old"})
        database.store.put(("m",), "kept", {"text": "new"})
        assert rows(tmp_path / "a.db") == (2, 1, 2)
        where: Any = database if given == "database" else database.checkpointer
        worker = Worker(where, [flow])

        async def work() -> None:
            running = asyncio.ensure_future(worker.arun() if is_async else asyncio.to_thread(worker.run))
            await asyncio.to_thread(eventually, lambda: rows(tmp_path / "a.db")[0] == 1)
            worker.stop()
            await running

        asyncio.run(work())
        assert rows(tmp_path / "a.db") == (1, 0, 1)
        assert [version.value for version in database.store.history(("m",), "kept")] == [{"text": "new"}]
