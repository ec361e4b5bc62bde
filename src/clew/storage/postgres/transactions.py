"""How a transaction is opened and ended: with timeouts, in one schema, and leaving no trace on the session."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar

from clew.errors import Unavailable
from clew.storage.postgres.addresses import driver
from clew.storage.postgres.failing import is_gone, was_taken_back
from clew.storage.postgres.migrations import quote

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")
Work = Callable[["psycopg.Connection"], T]
#: To be committed; to be taken back; or to read one consistent state.
Kind = Literal["write", "look_ahead", "read"]

_FROZEN_S = 10  # a process that stops inside a transaction for longer loses it, so that it blocks nobody
_LOCKED_S = 30
_MODES = {"write": "", "look_ahead": "", "read": " ISOLATION LEVEL REPEATABLE READ READ ONLY"}


def opening(kind: Kind, schema: str) -> bytes:
    """Return the statements that open a transaction, in one round trip.

    Everything is set for this transaction alone: behind a pooler the session serves others next.
    """
    return (
        f"BEGIN{_MODES[kind]}; SET LOCAL search_path TO {quote(schema)}; "
        f"SET LOCAL idle_in_transaction_session_timeout = '{_FROZEN_S}s'; SET LOCAL lock_timeout = '{_LOCKED_S}s'"
    ).encode()


class Lost(Exception):
    """The connection went before the transaction was committed: it may be done again.

    Args:
        error: how it went.
    """

    def __init__(self, error: psycopg.Error) -> None:
        self.error = error
        super().__init__(str(error))


def transact(connection: psycopg.Connection, kind: Kind, schema: str, work: Work[T]) -> T:
    """Run `work` in a transaction and return what it returns.

    Raises:
        Lost: nothing was kept, and the same work may be tried again.
        Unavailable: the connection went while it was committed; nobody knows whether it was kept.
        psycopg.Error, and whatever `work` raises: nothing was kept.
    """
    try:
        connection.execute(opening(kind, schema))
        value = work(connection)
        if kind == "look_ahead":
            connection.execute("ROLLBACK")
            return value
    except driver().Error as error:
        _roll_back(connection)
        if is_gone(connection) or was_taken_back(error):
            raise Lost(error) from error
        raise
    except BaseException:
        _roll_back(connection)
        raise
    _commit(connection, kind)
    return value


def _commit(connection: psycopg.Connection, kind: Kind) -> None:
    psycopg = driver()
    try:
        connection.execute("COMMIT")
    except psycopg.Error as error:
        if kind == "read" or was_taken_back(error):
            raise Lost(error) from error
        if not is_gone(connection):
            raise
        raise Unavailable(
            f"the connection was lost while a write was committed ({error}); look whether it was kept"
        ) from error


def _roll_back(connection: psycopg.Connection) -> None:
    psycopg = driver()
    try:
        if not connection.closed:
            connection.execute("ROLLBACK")
    except psycopg.Error:
        connection.close()  # the server takes back what is not committed
