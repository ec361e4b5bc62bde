"""The tables of a SQLite file, and their versions: each file of `schema/` is one step."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator

from clew.errors import SchemaMismatch


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the tables to the version of this code, once, however many processes start together."""
    scripts = _scripts()
    if _version(connection, path) == len(scripts):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection, path)
        if version > len(scripts):
            raise SchemaMismatch(
                f"the database {path!r} is of schema version {version}, this clew knows up to {len(scripts)}: "
                "a newer clew wrote it; upgrade clew here"
            )
        for script in scripts[version:]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute("CREATE TABLE IF NOT EXISTS clew_schema (version INTEGER NOT NULL) STRICT")
        connection.execute("DELETE FROM clew_schema")
        connection.execute("INSERT INTO clew_schema VALUES (?)", (len(scripts),))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, path: str) -> int:
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'clew_schema'").fetchone():
        return 0
    row = connection.execute("SELECT version FROM clew_schema").fetchone()
    version = row[0] if row else 0
    if not isinstance(version, int) or version < 0:
        raise SchemaMismatch(
            f"the database {path!r} is of no schema version, but of {version!r}: restore it from a copy"
        )
    return version


def _scripts() -> list[str]:
    folder = os.path.join(os.path.dirname(__file__), "schema")
    return [_text(os.path.join(folder, name)) for name in sorted(os.listdir(folder)) if name[0].isdigit()]


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
