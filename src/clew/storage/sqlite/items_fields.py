"""Fields of values that were declared for filters: keeping an index of them, and finding which one serves a filter.

The index is kept by triggers (see schema/0002_items.sql), so that every program that writes to the file keeps it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from clew.storage.sqlite.database import SqliteDatabase
from clew.storage.sqlite.items_filter import is_plain_text, is_whole_number, place_of
from clew.store.filters import Compare, Every, Filter

_MOST_CHARACTERS = 256  # of a text in the index


class Source(Struct, frozen=True, kw_only=True):
    """Where the items that may meet a filter come from: all items, or the entries of one value in the index.

    Args:
        first: the table that gives the order and the namespace, and the letter that stands for it.
        join: how the items, `i`, are found from there.
        where: SQL that chooses entries of the index.
        values: its parameters.
    """

    first: tuple[str, str] = ("clew_items i", "i")
    join: str = ""
    where: str = "1"
    values: tuple[Any, ...] = ()


_EVERY_ITEM = Source()


def declare(database: SqliteDatabase, paths: Sequence[tuple[str, ...]]) -> None:
    """Keep an index of these fields from now on, for every item that is there already, too."""
    places = [place_of(path) for path in paths]
    known = database.read(lambda connection: _declared(connection)) if places else {}
    if missing := [place for place in places if place not in known]:
        database.write(lambda connection: _add(connection, missing))


class DeclaredFields:
    """The declared fields of one file, as far as they are known: a field that is declared stays so."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def source_of(self, connection: sqlite3.Connection, condition: Filter | None) -> Source:
        """Give the entries of the index that a filter asks for; all items where it asks for no declared field."""
        for part in condition.parts if isinstance(condition, Every) else (condition,):
            if isinstance(part, Compare) and part.operator == "$eq" and _is_kept(part.operand):
                place = place_of(part.path)
                if place not in self._known:
                    self._known = _declared(connection)
                if (field := self._known.get(place)) is not None:
                    return Source(
                        first=("clew_item_fields f", "f"), join="CROSS JOIN clew_items i ON i.id = f.id",
                        where="f.field = ? AND f.value = ?", values=(field, part.operand),
                    )  # fmt: skip
        return _EVERY_ITEM


def _is_kept(operand: object) -> bool:
    if isinstance(operand, str):
        return is_plain_text(operand) and len(operand) <= _MOST_CHARACTERS
    return isinstance(operand, bool) or is_whole_number(operand)


def _declared(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT path, id FROM clew_filter_fields").fetchall())


def _add(connection: sqlite3.Connection, places: Sequence[str]) -> None:
    for place in places:
        added = connection.execute("INSERT OR IGNORE INTO clew_filter_fields (path) VALUES (?)", (place,))
        if added.rowcount:
            connection.execute(
                "INSERT INTO clew_item_fields SELECT * FROM clew_items_by_field WHERE field = ?", (added.lastrowid,)
            )
