"""Work on a connection, whole or not at all; tables that it misses are made, and it runs again.

Errors are mapped by the database above, but for those of a batch, which each are for one caller.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from clew.storage.group_commit import Waiting
from clew.storage.sqlite.connections import Connection
from clew.storage.sqlite.failing import translated
from clew.storage.sqlite.migrations import make_missing

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


def transact(connection: Connection, work: Work[T], *, begun: bool = False) -> T:
    """Run work that may write and return what it returns, once that is committed.

    Args:
        begun: whether `begin_at_once` has begun the transaction.
    """
    while True:
        try:
            if not begun:
                take_back(connection)
                connection.wait_for_others(True)
                connection.execute("BEGIN IMMEDIATE")
            value = work(connection)
            connection.execute("COMMIT")
            return value
        except BaseException as error:
            take_back(connection)
            connection.wait_for_others(True)  # to make tables, in a transaction of its own
            if not make_missing(connection, error):
                raise
        begun = False


def take_back(connection: sqlite3.Connection) -> None:
    """End a transaction that is under way; nobody commits one that was begun by somebody whom Ctrl-C has stopped."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def begin_at_once(connection: Connection) -> bool:
    """Begin a transaction that may write, if no other process is writing; say whether that is so."""
    take_back(connection)
    return unless_busy(connection, _begun) or False


def _begun(connection: sqlite3.Connection) -> bool:
    connection.execute("BEGIN IMMEDIATE")
    return True


def unless_busy(connection: Connection, work: Work[T]) -> T | None:
    """Run work that begins to write; None, without waiting, if another process is writing."""
    if connection.is_patient:  # else without a call, for each record comes by here
        connection.wait_for_others(False)
    try:
        return work(connection)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname.startswith("SQLITE_BUSY"):
            return None
        raise


def attempt(connection: sqlite3.Connection, work: Work[T]) -> T:
    """Run a part of a transaction; one that fails takes back its own changes alone."""
    while True:
        connection.execute("SAVEPOINT one")
        try:
            return work(connection)
        except Exception as error:
            connection.execute("ROLLBACK TO one")
            if not make_missing(connection, error):
                raise
        finally:
            connection.execute("RELEASE one")


def look(connection: sqlite3.Connection, work: Work[T]) -> T:
    """Run work that reads."""
    take_back(connection)
    while True:
        try:
            return work(connection)
        except sqlite3.OperationalError as error:
            if not make_missing(connection, error):
                raise


def carry_out_all(connection: sqlite3.Connection, batch: list[Waiting[Work[Any], Any]]) -> None:
    """Run the works of a batch, which fails as a whole: nearly none does."""
    for write in batch:
        write.value = write.work(connection)


def carry_out_each(connection: sqlite3.Connection, batch: list[Waiting[Work[Any], Any]], path: str) -> None:
    """Run each work of a batch. One that fails takes back its own changes alone."""
    for write in batch:
        try:
            write.value = attempt(connection, write.work)
        except Exception as error:
            write.fail(translated(error, path) if isinstance(error, sqlite3.Error) else error)
