"""Calls of set functions: what several callers want at once travels as one statement over arrays of columns.

Spoken to libpq directly, for a cursor of psycopg costs as much as the insert itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct

from clew.errors import ClewError
from clew.storage.postgres.addresses import driver
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


class Column(Struct, frozen=True):
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


class Function(Struct, frozen=True):
    """A function of the database that takes one array for each column, all of one length.

    Args:
        name: as schema/ makes it.
        columns: of a row of arguments.
        place: among the functions of one transaction, lower first.
        gives: columns of the rows that it returns; the first one tells them apart.
    """

    name: str
    columns: tuple[Column, ...]
    place: int
    gives: tuple[Column, ...] = ()

    def statement(self, prefix: str) -> bytes:
        """Return the statement that calls it; see `exchange`."""
        marks = ", ".join(f"${number}" for number in range(1, len(self.columns) + 1))
        return f"SELECT * FROM {prefix}{self.name}({marks})".encode()


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


def carry_out(connection: psycopg.Connection, call: Call[T], prefix: str = "") -> T:
    """Carry out one call, by itself or as part of a transaction. See `exchange`.

    Raises:
        ClewError: the call's own, where the database refuses it.
        psycopg.Error: something else.
    """
    try:
        found = exchange(connection, [call], prefix)
    except driver().Error as error:
        refusal = call.refused(error)
        if refusal is None:
            raise
        raise refusal from error
    return call.result(found)


def exchange(connection: psycopg.Connection, calls: Sequence[Call[Any]], prefix: str = "") -> Mapping[Function, Found]:
    """Carry out calls in one round trip; outside a transaction they are one.

    Args:
        connection: idle, or in a transaction.
        calls: those of one function are joined.
        prefix: the quoted schema and a dot, unless the schema is on the search path, as in a transaction.

    Raises:
        psycopg.Error: nothing of them was kept.
    """
    joined: dict[Function, list[tuple[Any, ...]]] = {}
    for call in calls:
        for function, rows in call.rows.items():
            joined.setdefault(function, []).extend(rows)
    functions = sorted(joined, key=lambda function: function.place)
    statements = [_statement(function, prefix, joined[function]) for function in functions]
    results = [_one(connection, *statements[0])] if len(statements) == 1 else _several(connection, statements)
    return {function: _found(function, result) for function, result in zip(functions, results, strict=True)}


_Statement = tuple[bytes, list[bytes], list[int], list[int], int]


def _statement(function: Function, prefix: str, rows: Rows) -> _Statement:
    columns = function.columns
    arrays = [column.array(elements) for column, elements in zip(columns, zip(*rows, strict=True), strict=True)]
    return function.statement(prefix), arrays, [column.array_oid for column in columns], [1] * len(columns), 1


def _one(connection: psycopg.Connection, *statement: Any) -> PGresult:
    return _checked(connection.pgconn.exec_params(*statement))


def _several(connection: psycopg.Connection, statements: Sequence[_Statement]) -> list[PGresult]:
    """Send statements in a pipeline. Between two synchronizations the server takes them as one transaction."""
    pgconn, is_ok = connection.pgconn, driver().pq.ConnStatus.OK
    pgconn.enter_pipeline_mode()
    try:
        for statement in statements:
            pgconn.send_query_params(*statement)
        pgconn.pipeline_sync()
        results = []
        for _ in statements:
            results.append(pgconn.get_result())
            while pgconn.get_result() is not None:
                pass
        pgconn.get_result()  # of the synchronization
    finally:
        if pgconn.status == is_ok:
            pgconn.exit_pipeline_mode()
    return [_checked(result) for result in results]


def _checked(result: PGresult | None) -> PGresult:
    psycopg = driver()
    if result is None:
        raise psycopg.OperationalError("the connection was lost")
    if result.status not in (psycopg.pq.ExecStatus.TUPLES_OK, psycopg.pq.ExecStatus.COMMAND_OK):
        raise psycopg.errors.error_from_result(result)
    return result


def _found(function: Function, result: PGresult) -> Found:
    rows: dict[Any, tuple[Any, ...]] = {}
    for row in range(result.ntuples if function.gives else 0):
        key, *others = [_value(column, result.get_value(row, at)) for at, column in enumerate(function.gives)]
        rows[key] = tuple(others)
    return rows


def _value(column: Column, data: bytes | None) -> Any:
    return None if data is None else column.unpack(data)
