"""Counts what a machine that others share cannot blur: calls, statements, commits, round trips."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, BinaryIO

import psycopg
import pytest

from clew.storage.postgres.connections import Connections
from clew.storage.sqlite.database import SqliteDatabase

_ASKED = re.compile(rb"\tF\t\d+\t(Sync|Query)\b")  # as libpq's trace shows them; F is for from here


def calls(work: Callable[[], object]) -> int:
    """Count the calls of Python and C functions that some work makes on this OS thread."""
    count = 0

    def note(frame: FrameType, event: str, what: Any) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count - 1  # the call that ends the counting


def heard_statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which every statement is added that SQLite is given on connections opened from now on."""
    heard: list[str] = []
    connect = SqliteDatabase._connect

    def connect_and_listen(self: SqliteDatabase) -> Any:
        connection = connect(self)
        connection.set_trace_callback(heard.append)
        return connection

    monkeypatch.setattr(SqliteDatabase, "_connect", connect_and_listen)
    return heard


def steps(connections: Sequence[sqlite3.Connection], work: Callable[[], object]) -> int:
    """Count the tens of steps that SQLite takes for some work on connections."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    for connection in connections:
        connection.set_progress_handler(tick, 10)
    work()
    for connection in connections:
        connection.set_progress_handler(None, 0)
    return count


class Traced:
    """What the connections to PostgreSQL have said, as libpq itself tells it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._heard: list[psycopg.Connection] = []

    def listen(self, connection: psycopg.Connection) -> None:
        if connection not in self._heard:
            self._heard.append(connection)
            connection.pgconn.trace(self._file.fileno())

    def stop(self) -> None:
        """Listen no more. Else libpq would go on writing to whatever is opened next in the place of the file.

        Such as the socket of another connection, which the server would close then.
        """
        for connection in self._heard:
            if not connection.closed:
                connection.pgconn.untrace()

    def round_trips(self) -> int:
        """Count how often the server was told so far that an answer is waited for.

        libpq writes what it sends to the file at once, but what it receives only when it sends again.
        """
        self._file.seek(0)
        return len(_ASKED.findall(self._file.read()))


@contextlib.contextmanager
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    """Listen to the connections that are lent in a block."""
    with tempfile.TemporaryFile() as file:
        trace, borrowed = Traced(file), Connections.borrowed

        @contextlib.contextmanager
        def borrowed_and_traced(self: Connections) -> Iterator[psycopg.Connection]:
            with borrowed(self) as connection:
                trace.listen(connection)
                yield connection

        monkeypatch.setattr(Connections, "borrowed", borrowed_and_traced)
        try:
            yield trace
        finally:
            monkeypatch.undo()
            trace.stop()
