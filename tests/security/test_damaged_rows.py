"""Somebody else wrote into the file: reading gives a value or an error of ours, and never runs what is there."""

from __future__ import annotations

import contextlib
import pickle
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clew import Command, Database, Workflow, entrypoint, get_store, interrupt, task
from clew.errors import ClewError
from clew.moving import export_lines
from support.colours import thread


class Trap:
    """What unpickling would run."""

    def __reduce__(self) -> Any:
        return exec, ("import sys; sys.clew_unpickled_it = True",)


# What is found in place of what was written; texts are put where a table takes no bytes.
FOREIGN: list[Any] = [
    pickle.dumps(Trap()),
    b"",
    b"\xc1",
    b"\x93\x01\x02",
    b"\x81\xa1a\xff",
    "",
    '{"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "false"}}',
    "[" * 100_000,
    "x" * 1_000,
    -1,
    2**62,
    1.5,
    None,
]


# Where values are kept: these take whatever bytes, or text, there are.
VALUES = {"input", "value", "saved", "packed", "error", "questions", "metadata", "body", "outcome", "path"}
STRICT = {"clew_items", "clew_item_versions"}  # these take text alone


def worker(database: Database) -> Workflow[Any, Any]:
    @task
    def note(what: str) -> dict[str, str]:
        get_store().put(("notes",), what, {"text": what})
        return {"noted": what}

    @task
    def fail() -> None:
        raise ValueError("on purpose")

    @entrypoint(database=database, name="worker")
    def work(what: str, *, previous: Any = None) -> Any:
        note(what).result()
        with contextlib.suppress(ValueError):
            fail().result()
        answer = interrupt({"really": what})
        return entrypoint.final(value=answer, save=[*(previous or []), *["said"] * 99])

    return work


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file in which each table of threads and memories has rows."""
    with Database(tmp_path / "kept.db") as database:
        work = worker(database)
        for _ in range(2):
            work.invoke("a", thread())
            work.invoke(Command(resume="yes"), thread())
        work.invoke("b", thread())
        database.store.put(("more", "notes"), "k", {"text": "zebra", "list": [1]}, ttl=100)
        database.store.put(("more", "notes"), "k", {"text": "lions"}, index=["text"])
    return tmp_path / "kept.db"


def columns(file: Path) -> Iterator[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'clew%'")
        for (table,) in rows.fetchall():
            for column in connection.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchall():
                yield table, column[0]


def put(file: Path, table: str, column: str, foreign: Any) -> bool:
    """Put something else into a column, where the table takes it."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        try:
            connection.execute(f"UPDATE {table} SET {column} = ?", (foreign,))
            connection.commit()
        except sqlite3.Error:
            return False
        return True


def changed(file: Path, foreign: Any) -> Iterator[tuple[str, str]]:
    """Yield each column that takes a foreign value, while that is in it and everything else is whole."""
    whole = file.read_bytes()
    for table, column in columns(file):
        for rest in file.parent.glob("kept.db*"):
            rest.unlink()
        file.write_bytes(whole)
        if put(file, table, column, foreign):
            yield table, column


def everything(file: Path) -> None:
    """Read all that is kept, and replace a memory."""
    try:
        database = Database(file)
    except ClewError:
        return
    try:
        work, store = worker(database), database.store
        for attempt in (
            lambda: work.get_state(thread()),
            lambda: list(work.get_state_history(thread())),
            lambda: store.get(("more", "notes"), "k"),
            lambda: store.search(()),
            lambda: store.search((), filter={"text": "lions"}),
            lambda: store.search((), query="lions zebra"),
            lambda: store.list_namespaces(),
            lambda: store.history(("more", "notes"), "k"),
            lambda: list(export_lines(database)),
            lambda: store.reindex(),
            lambda: store.put(("more", "notes"), "k", {"text": "x"}),
        ):
            with contextlib.suppress(ClewError):
                attempt()
    finally:
        database.close()


@pytest.mark.parametrize(
    "foreign", [data for data in FOREIGN if isinstance(data, bytes | str)], ids=lambda f: repr(f)[:9]
)
def test_a_foreign_value_is_read_or_refused(file: Path, foreign: Any) -> None:
    for table, column in changed(file, foreign):
        if column in VALUES and isinstance(foreign, str) == (table in STRICT):
            try:
                everything(file)
            except Exception as error:
                raise AssertionError(f"{foreign!r:.60} in {table}.{column}") from error
    assert not hasattr(sys, "clew_unpickled_it")


@pytest.mark.parametrize("foreign", [b"\xc1\x02", -1, 2**62, "x" * 50, None], ids=lambda f: repr(f)[:9])
def test_a_foreign_value_in_any_column_is_read_or_refused(file: Path, foreign: Any) -> None:
    for table, column in changed(file, foreign):
        try:
            everything(file)
        except Exception as error:
            raise AssertionError(f"{foreign!r:.60} in {table}.{column}") from error


def test_nothing_runs_whatever_is_in_any_column(file: Path) -> None:
    for foreign in (FOREIGN[0], -1):
        for _ in changed(file, foreign):
            with contextlib.suppress(Exception):
                everything(file)
    assert not hasattr(sys, "clew_unpickled_it")


def test_the_trap_is_one() -> None:
    pickle.loads(pickle.dumps(Trap()))
    assert sys.__dict__.pop("clew_unpickled_it")
