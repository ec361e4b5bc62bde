"""What SQLite files that cannot be used are answered with, whichever of the parts is opened on them."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clew import Database, SqliteSaver, entrypoint, get_store, task
from clew.errors import SchemaMismatch, StorageError, Unavailable


def put(path: Path) -> None:
    with Database(path) as database:
        database.store.put(("memories",), "k", {"data": "x"})


def aput(path: Path) -> None:
    async def run() -> None:
        async with Database(path) as database:
            await database.store.aput(("memories",), "k", {"data": "x"})

    asyncio.run(run())


def run_workflow(path: Path) -> None:
    @entrypoint(checkpointer=SqliteSaver(path))
    def flow(x: int) -> int:
        pytest.fail("no line of the workflow may run before its input is kept")

    flow.invoke(1, {"configurable": {"thread_id": "1"}})


uses = pytest.mark.parametrize("use", [put, aput, run_workflow])


@uses
def test_a_file_that_is_no_database_is_named_and_left_as_it_is(use: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Bob, " * 1000)
    with pytest.raises(SchemaMismatch, match=rf"{re.escape(str(path))}' is not a SQLite database.*choose another"):
        use(path)
    assert path.read_text() == "Dear Bob, " * 1000


@uses
def test_a_file_of_a_newer_version_is_named_and_left_as_it_is(use: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    put(path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE clew_schema SET version = version + 1")
        [before] = connection.execute("SELECT count(*) FROM clew_items").fetchone()
    with pytest.raises(SchemaMismatch, match=rf"{re.escape(str(path))}' is of schema version.*upgrade clew"):
        use(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM clew_items").fetchone() == (before,)


@uses
def test_a_folder_that_does_not_exist_is_named(use: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "app.db"
    with pytest.raises(Unavailable, match=rf"the folder '{re.escape(str(path.parent))}' does not exist"):
        use(path)


def test_tables_are_made_by_whoever_uses_them_first_however_many_do(tmp_path: Path) -> None:
    async def put_all(databases: list[Database]) -> None:
        puts = [database.store.aput(("m",), f"{n}", {"n": n}) for n, database in enumerate(databases * 20)]
        await asyncio.gather(*puts)

    with contextlib.ExitStack() as opened:
        databases = [opened.enter_context(Database(tmp_path / "app.db")) for _ in range(3)]
        asyncio.run(put_all(databases))
        for database in databases:
            assert len(database.store.search(("m",), limit=100)) == 60


def test_what_is_written_before_a_table_is_missed_is_written_once(tmp_path: Path) -> None:
    with Database(tmp_path / "app.db") as database:

        @task
        def note(text: str) -> str:
            get_store().put(("notes",), "k", {"text": text})  # kept with the task's record, which is written first
            return text

        @entrypoint(database=database)
        def flow(text: str) -> str:
            return note(text).result()

        assert flow.invoke("x", {"configurable": {"thread_id": "1"}}) == "x"
        found = database.store.get(("notes",), "k")
        assert found is not None
        assert (found.value, found.version) == ({"text": "x"}, 1)
    with contextlib.closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        assert connection.execute("SELECT count(*) FROM clew_records").fetchone() == (1,)


def test_a_table_that_somebody_removed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    put(path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE clew_items")
    with pytest.raises(StorageError, match=rf"{re.escape(str(path))}'.*no such table.*clew_items"):
        put(path)
