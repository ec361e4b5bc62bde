"""Where stories of killed processes are kept: opened with clew by the children, looked at without it by the rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg

from clew import Checkpointer, Database, PostgresSaver, SqliteSaver

SCHEMA = "killed"


class Kept(Protocol):
    """One story's database."""

    saver: type[Checkpointer]

    def open(self) -> Any:
        """Open it for the length of a block, and give what an entrypoint takes."""

    def query(self, sql: str) -> list[Any]:
        """Return rows of the threads' tables, which may not be made yet."""

    def memories(self) -> list[Any]: ...

    def damage(self) -> list[Any]: ...


class InSqlite:
    """A file."""

    saver = SqliteSaver

    def __init__(self, folder: Path) -> None:
        self._file = folder / "app.db"

    @contextmanager
    def open(self) -> Iterator[dict[str, Any]]:
        with closing(Database(self._file, synchronous="NORMAL")) as database:
            yield {"database": database}

    def query(self, sql: str) -> list[Any]:
        return self._rows(sql, "clew_records")

    def memories(self) -> list[Any]:
        return self._rows("SELECT namespace, key, value, version FROM clew_items", "clew_items")

    def damage(self) -> list[Any]:
        return [] if self._rows("PRAGMA integrity_check", "clew_schema") in ([("ok",)], []) else ["damaged"]

    def _rows(self, sql: str, table: str) -> list[Any]:
        """Return the rows of a query; none before the table is made, as it is when it is first used."""
        if not self._file.exists():
            return []
        with closing(sqlite3.connect(self._file)) as connection:
            made = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
            return connection.execute(sql).fetchall() if made else []


class InPostgres:
    """A schema, the same one for one story after the other."""

    saver = PostgresSaver

    def __init__(self, folder: Path, address: str) -> None:
        self._address = address
        tables = self.query(f"SELECT tablename FROM pg_tables WHERE schemaname = '{SCHEMA}' ORDER BY 1 DESC")
        for (table,) in tables:
            if table != "clew_schema":
                self.query(f"DELETE FROM {table} RETURNING 1")

    @contextmanager
    def open(self) -> Iterator[dict[str, Any]]:
        with closing(Database(self._address, schema=SCHEMA)) as database:
            yield {"database": database}

    def query(self, sql: str) -> list[Any]:
        with psycopg.connect(self._address, autocommit=True, options=f"-c search_path={SCHEMA}") as connection:
            [made] = connection.execute("SELECT to_regclass('clew_records')").fetchone() or [None]
            return connection.execute(sql).fetchall() if made else []  # type: ignore[arg-type]

    def memories(self) -> list[Any]:
        return self.query("SELECT key, value::text, version FROM clew_items")

    def damage(self) -> list[Any]:
        return self.query("SELECT 1 FROM clew_records WHERE run NOT IN (SELECT id FROM clew_runs)")
