"""The one table of the floor, in SQLite and in PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Protocol

Row = tuple[str, str]


class Table(Protocol):
    """Rows of a key and a value."""

    def insert_one(self, row: Row) -> None:
        """Keep a row."""

    def insert(self, rows: Sequence[Row]) -> None:
        """Keep rows in one transaction."""

    def read(self, count: int) -> None:
        """Read all rows, of which there must be so many."""

    def settle(self) -> None:
        """Leave everything in the one file."""


class SqliteTable:
    """In a file, opened with the settings that the others use.

    Args:
        file: its path.
        synchronous: "FULL" or "NORMAL".
    """

    def __init__(self, file: str, synchronous: str) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute(f"PRAGMA synchronous={synchronous}")
        columns = "id INTEGER PRIMARY KEY, run, key, value, UNIQUE (run, key)"
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS records ({columns})")

    def insert_one(self, row: Row) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("INSERT INTO records (run, key, value) VALUES (1, ?, ?)", row)
        self._connection.execute("COMMIT")

    def insert(self, rows: Sequence[Row]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO records (run, key, value) VALUES (1, ?, ?)", rows)
        self._connection.execute("COMMIT")

    def read(self, count: int) -> None:
        found = self._connection.execute("SELECT * FROM records WHERE run = 1").fetchall()
        assert len(found) == count

    def settle(self) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class PostgresTable:
    """In a database that nobody else uses. An ordinary table: a temporary one would not be flushed.

    Args:
        address: of the database.
    """

    def __init__(self, address: str) -> None:
        import psycopg

        self._connection = psycopg.connect(address, autocommit=True)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS records (id bigserial PRIMARY KEY, run int, key text, value text, "
            "UNIQUE (run, key))"
        )

    def insert_one(self, row: Row) -> None:
        self._connection.execute("INSERT INTO records (run, key, value) VALUES (1, %s, %s)", row)

    def insert(self, rows: Sequence[Row]) -> None:
        self._connection.execute(
            "INSERT INTO records (run, key, value) SELECT 1, * FROM unnest(%s::text[], %s::text[])",
            ([key for key, _ in rows], [value for _, value in rows]),
        )

    def read(self, count: int) -> None:
        found = self._connection.execute("SELECT * FROM records WHERE run = 1").fetchall()
        assert len(found) == count

    def settle(self) -> None:
        pass
