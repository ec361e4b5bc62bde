"""With which keys a file may be used: the ids of its keys are noted in it, and checked by whoever opens it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence

from clew.storage.rings import id_to_note

_USED = ("clew_threads", "clew_items")


class Admission:
    """The right to use a file. Without keys it is given at the first use, unless the file is encrypted."""

    def __init__(self) -> None:
        self._is_given = False

    def with_keys(
        self, write: Callable[[Callable[[sqlite3.Connection], None]], None], ring: Sequence[str], path: str
    ) -> None:
        """Take the right with the keys of those ids, and note the one that encrypts from now on.

        Raises:
            UnreadableRecord: they are not the keys of this file, or it is not encrypted and holds something.
        """
        was_given, self._is_given = self._is_given, True  # for what follows
        try:
            write(lambda connection: _note(connection, ring, path))
        except BaseException:
            self._is_given = was_given
            raise

    def check(self, connect: Callable[[], sqlite3.Connection], path: str) -> None:
        """Take the right without keys, unless it was given before.

        Raises:
            UnreadableRecord: the file is encrypted.
        """
        if self._is_given:
            return
        with contextlib.closing(connect()) as connection:
            if _has(connection, "clew_keys"):
                id_to_note((), _noted(connection), is_empty=False, shown=repr(path))
        self._is_given = True


def _note(connection: sqlite3.Connection, ring: Sequence[str], path: str) -> None:
    noted = _noted(connection)
    is_used = any(
        connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").fetchone()[0]
        for table in _USED
        if _has(connection, table)
    )
    id = id_to_note(ring, noted, is_empty=not is_used, shown=repr(path))
    if id is not None:
        connection.execute("INSERT INTO clew_keys VALUES (?)", (id,))


def _noted(connection: sqlite3.Connection) -> list[str]:
    return [id for (id,) in connection.execute("SELECT id FROM clew_keys")]


def _has(connection: sqlite3.Connection, table: str) -> bool:
    found = connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?)", (table,)).fetchone()
    return bool(found[0])
