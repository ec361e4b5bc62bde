"""Work on a connection, whole or not at all; tables that it misses are made, and it runs again.

It maps no errors: the database above does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from clew.storage.sqlite.migrations import make_missing

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


def transact(connection: sqlite3.Connection, work: Work[T]) -> T:
    """Run work that may write and return what it returns, once that is committed."""
    while True:
        connection.execute("BEGIN IMMEDIATE")
        try:
            value = work(connection)
            connection.execute("COMMIT")
            return value
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if not make_missing(connection, error):
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
    while True:
        try:
            return work(connection)
        except sqlite3.OperationalError as error:
            if not make_missing(connection, error):
                raise
