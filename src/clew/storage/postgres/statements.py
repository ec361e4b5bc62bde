"""Single statements: any text may go in, and comes back as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clew.storage.postgres.addresses import driver
from clew.storage.postgres.texts import given_back, held

if TYPE_CHECKING:
    import psycopg


Parameters = Sequence[Any] | Mapping[str, Any]


def rows(connection: psycopg.Connection, statement: str | bytes, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
    """Return the rows of a statement.

    Args:
        connection: as `PostgresDatabase` lends it.
        statement: SQL with %s or %(name)s for the parameters.
        parameters: what stands for them. A list is an array.

    Raises:
        psycopg.Error: the database did not do it.
    """
    with _cursor(connection) as cursor:
        cursor.execute(_bytes(statement), held(parameters))
        return [given_back(row) for row in cursor.fetchall()]


def change(connection: psycopg.Connection, statement: str | bytes, parameters: Parameters = ()) -> int:
    """Carry out a statement and return how many rows it concerned. See `rows`."""
    with _cursor(connection) as cursor:
        return cursor.execute(_bytes(statement), held(parameters)).rowcount


def _cursor(connection: psycopg.Connection) -> psycopg.Cursor[tuple[Any, ...]]:
    # The user's own pool may make rows of another kind.
    return connection.cursor(row_factory=driver().rows.tuple_row, binary=True)


def _bytes(statement: str | bytes) -> bytes:
    return statement if isinstance(statement, bytes) else statement.encode()
