"""How a transaction is opened and ended: with timeouts, in one schema, and leaving no trace on the session."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar

from clew.errors import Unavailable
from clew.storage.postgres import sessions
from clew.storage.postgres.addresses import driver
from clew.storage.postgres.exchanging import say
from clew.storage.postgres.failing import is_gone, was_taken_back

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")
Work = Callable[["psycopg.Connection"], T]
#: To be committed; to be taken back; to read one consistent state; or to read it by a single statement.
Kind = Literal["write", "look_ahead", "read", "glance"]

_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED"  # whatever is usual here: who waited for a lock sees what it guarded
_BEGIN = {"write": _WRITE, "look_ahead": _WRITE, "read": _READ, "glance": _READ}


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
    is_set_up = sessions.prepared(connection) is not None
    is_alone = kind == "glance" and is_set_up  # a statement is a transaction by itself
    try:
        if not is_alone:
            say(connection, _BEGIN[kind] if is_set_up else _BEGIN[kind] + sessions.settings(schema))
        value = work(connection)
        if kind == "look_ahead":
            say(connection, "ROLLBACK")
        if kind == "look_ahead" or is_alone:
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
        say(connection, "COMMIT")
    except psycopg.Error as error:
        if kind in ("read", "glance") or was_taken_back(error):
            raise Lost(error) from error
        if not is_gone(connection):
            raise
        raise Unavailable(
            f"the connection was lost while a write was committed ({error}); look whether it was kept"
        ) from error


def _roll_back(connection: psycopg.Connection) -> None:
    psycopg = driver()
    try:
        if connection.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            say(connection, "ROLLBACK")
    except psycopg.Error:
        connection.close()  # the server takes back what is not committed
