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

from clew import Database, SqliteSaver, entrypoint
from clew.errors import SchemaMismatch, Unavailable


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
