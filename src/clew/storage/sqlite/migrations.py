"""The tables of a SQLite file, by topics: those of a topic are made when a statement first misses one of them.

So a file has no pages for what nobody uses. The files of `schema/` are the steps of their topics, in order:
`0002_items.sql` is one of the topic "items", whose version in a file says how many of its steps were made there.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Generator, Iterator

from clew.errors import SchemaMismatch
from clew.storage.sqlite.failing import errors

_MISSING = re.compile(r"no such table: (?:main\.)?(clew_\w+)")
_SCHEMA = "CREATE TABLE IF NOT EXISTS clew_schema (topic TEXT PRIMARY KEY, version INTEGER) STRICT, WITHOUT ROWID"


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the topics that a file has to the versions of this code, once, however many processes start together.

    Raises:
        SchemaMismatch: a newer clew wrote the file, or what it says of itself is damaged.
    """
    steps = _steps()
    if any(version < len(steps[topic]) for topic, version in _versions(connection, path, steps).items()):
        with _transaction(connection):
            for topic, version in _versions(connection, path, steps).items():
                _make(connection, topic, steps[topic][version:])


def has_tables(path: str) -> bool:
    """Say whether there are tables of clew's in a file that is there; this makes and changes nothing.

    Raises:
        Unavailable, SchemaMismatch: see SqliteDatabase.
    """
    with errors(path), contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'clew_schema'").fetchone() is not None


def make_missing(connection: sqlite3.Connection, error: BaseException) -> bool:
    """Make the tables of a topic where an error says that one is missing, and say whether to try again.

    They are made in the transaction that is under way, or else in one of their own.
    """
    found = _MISSING.match(str(error)) if isinstance(error, sqlite3.OperationalError) else None
    if found is None:
        return False
    for topic, steps in _steps().items():
        if any(re.search(rf"^CREATE (TABLE|VIEW) {found[1]}\b", _text(step), re.MULTILINE) for step in steps):
            with _transaction(connection):
                connection.execute(_SCHEMA)
                if not connection.execute("SELECT 1 FROM clew_schema WHERE topic = ?", (topic,)).fetchone():
                    _make(connection, topic, steps)
                made = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (found[1],))
                return made.fetchone() is not None  # else somebody has removed it
    return False


def _make(connection: sqlite3.Connection, topic: str, steps: list[str]) -> None:
    """Make the next steps of a topic."""
    for step in steps:
        for statement in _statements(_text(step)):
            connection.execute(statement)
    connection.execute(
        "INSERT INTO clew_schema VALUES (?1, ?2) ON CONFLICT DO UPDATE SET version = version + ?2", (topic, len(steps))
    )


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    """Keep what is done in a block as a whole: within the transaction that is under way, if one is."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _versions(connection: sqlite3.Connection, path: str, steps: dict[str, list[str]]) -> dict[str, int]:
    """Return the topics that a file has, none of them newer than this code."""
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'clew_schema'").fetchone():
        return {}
    versions = dict(connection.execute("SELECT topic, version FROM clew_schema").fetchall())
    for topic, version in versions.items():
        known = len(steps.get(topic, ()))
        if not isinstance(version, int) or version < 0:
            raise SchemaMismatch(
                f"the database {path!r} is of no schema version, but of {version!r}: restore it from a copy"
            )
        if version > known:
            raise SchemaMismatch(
                f"the database {path!r} is of schema version {version} of {topic!r}, this clew knows up to {known}: "
                "a newer clew wrote it; upgrade clew here"
            )
    return versions


def _steps() -> dict[str, list[str]]:
    """Return the files of each topic, first things first."""
    folder = os.path.join(os.path.dirname(__file__), "schema")
    steps: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder)):
        if name[0].isdigit():
            steps.setdefault(name[5:-4], []).append(os.path.join(folder, name))
    return steps


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
