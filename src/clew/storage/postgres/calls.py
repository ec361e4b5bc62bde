"""Calls of set functions: what several callers want at once travels as one statement over arrays of columns.

Pure: it makes statements of calls, and values of what comes back. Who sends them is in exchanging.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from msgspec import Struct

from clew.errors import ClewError
from clew.storage.postgres.texts import from_held, to_held

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGresult

T = TypeVar("T")
#: What a function returned: by the first column of its rows, the others.
Found = Mapping[Any, tuple[Any, ...]]
Rows = Sequence[tuple[Any, ...]]

_HEADER = struct.Struct("!iiiii")
_SIZE = struct.Struct("!i")
_NULL = _SIZE.pack(-1)


class Column(Struct, frozen=True, eq=False):
    """A column of arguments, in PostgreSQL's binary format.

    Args:
        oid: of the type of an element, see pg_type.dat in PostgreSQL's source.
        array_oid: of its array.
        pack: one element to bytes.
        unpack: and back.
    """

    oid: int
    array_oid: int
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Any]

    def array(self, elements: Sequence[Any]) -> bytes:
        """Return the array of the elements, of which there is at least one; None is NULL."""
        parts = [_HEADER.pack(1, 1, self.oid, len(elements), 1)]  # one dimension, with NULLs, counted from 1
        for element in elements:
            if element is None:
                parts.append(_NULL)
            else:
                packed = self.pack(element)
                parts += (_SIZE.pack(len(packed)), packed)
        return b"".join(parts)


def _number(oid: int, array_oid: int, format: str) -> Column:
    layout = struct.Struct(format)
    return Column(oid, array_oid, layout.pack, lambda data: layout.unpack(data)[0])


TEXT = Column(25, 1009, lambda text: to_held(text).encode(), lambda data: from_held(data.decode()))
BYTES = Column(17, 1001, bytes, bytes)
BIG = _number(20, 1016, "!q")
INT = _number(23, 1007, "!i")
REAL = _number(701, 1022, "!d")


class Function(Struct, frozen=True, eq=False):
    """A function of the database that takes one array for each column, all of one length.

    Args:
        name: as schema/ makes it.
        columns: of a row of arguments.
        place: among the functions of one transaction, lower first.
        gives: columns of the rows that it returns; the first one tells them apart.
        single: a function that does the same for one row: it takes no arrays, and gives what comes after the first of
            `gives`, which is its first argument. Without arrays the server is quicker by a fifth.
    """

    name: str
    columns: tuple[Column, ...]
    place: int
    gives: tuple[Column, ...] = ()
    single: str | None = None

    def called(self, prefix: str, rows: Rows) -> Statement:
        """Return the statement that calls it.

        Args:
            prefix: of its name: the quoted schema and a dot, unless the schema is on the search path.
            rows: of arguments.
        """
        columns = self.columns
        if self.single is not None and len(rows) == 1:
            values = [
                None if value is None else column.pack(value) for column, value in zip(columns, rows[0], strict=True)
            ]
            return _spelled(self, prefix, is_single=True), values
        elements = zip(*rows, strict=True)
        return _spelled(self, prefix, is_single=False), [
            column.array(those) for column, those in zip(columns, elements, strict=True)
        ]


class Spelled(NamedTuple):
    """How a function is called.

    Args:
        name: under which the statement may be prepared.
        sql: with $1 and so on for the arguments.
        oids: their types.
        formats: that they are in the binary format.
    """

    name: bytes
    sql: bytes
    oids: list[int]
    formats: list[int]


Statement = tuple[Spelled, list[bytes | None]]


@lru_cache  # few functions, and as many schemas as a program uses
def _spelled(function: Function, prefix: str, *, is_single: bool) -> Spelled:
    columns, name = function.columns, function.single if is_single and function.single else function.name
    marks = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    what = "$1," if is_single else "* FROM"
    oids = [column.oid if is_single else column.array_oid for column in columns]
    return Spelled(name.encode(), f"SELECT {what} {prefix}{name}({marks})".encode(), oids, [1] * len(columns))


class Call(Struct, Generic[T], frozen=True):
    """What one caller wants done in one transaction.

    Args:
        rows: of arguments, by function; at least one of each.
        result: makes what the caller gets of what the functions returned, to this caller and to others.
        refused: the error of clew for one that a function raised, or None if it means nothing special.
        recover: whether a call whose connection went was committed before, and what it gave: given the connection of
            a transaction, it waits for the first try to end and returns (that,), or None if it was not.
    """

    rows: Mapping[Function, Rows]
    result: Callable[[Mapping[Function, Found]], T]
    refused: Callable[[psycopg.Error], ClewError | None] = lambda error: None
    recover: Callable[[psycopg.Connection], tuple[T] | None] = lambda connection: None


def joined(calls: Sequence[Call[Any]]) -> dict[Function, Rows]:
    """Return the arguments of calls by function, in the order in which these are to be called."""
    if len(calls) == 1 and len(calls[0].rows) == 1:
        return dict(calls[0].rows)
    rows: dict[Function, list[tuple[Any, ...]]] = {}
    for call in calls:
        for function, those in call.rows.items():
            rows.setdefault(function, []).extend(those)
    return {function: rows[function] for function in sorted(rows, key=lambda function: function.place)}


def found(function: Function, result: PGresult) -> Found:
    """Return what a function returned."""
    rows: dict[Any, tuple[Any, ...]] = {}
    for row in range(result.ntuples if function.gives else 0):
        key, *others = [_value(column, result.get_value(row, at)) for at, column in enumerate(function.gives)]
        rows[key] = tuple(others)
    return rows


def _value(column: Column, data: bytes | None) -> Any:
    return None if data is None else column.unpack(data)
