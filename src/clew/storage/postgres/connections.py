"""Lends connections of one pool, each of them checked. Knows nothing of transactions or tables."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from clew.errors import Unavailable
from clew.storage.postgres.addresses import Address, driver
from clew.storage.postgres.exchanging import wait
from clew.storage.postgres.failing import translated
from clew.storage.postgres.sessions import set_up

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import ConnectionPool

_MOST = 8  # of a process: many processes share a server's hundred
_WAIT_S = 30.0
_MOMENT_S = 0.0005  # none at all would do if pools took it


class Connections:
    """Connections of a pool: its own one over an address, or the user's, which it never closes.

    A lent connection commits each statement by itself. One of a pool of our own is set up (see sessions) unless a
    pooler hands the session on after every transaction, which then sees nothing of us; so with the user's pool, where
    all that was set comes back with the connection.

    Args:
        source: where they lead, or the user's pool.
        shown: the database, for people.
        schema: for sessions that are set up.
    """

    def __init__(self, source: Address | ConnectionPool[Any], shown: str, schema: str) -> None:
        self._source = source
        self._shown = shown
        self._pool = _open_pool(source, schema) if isinstance(source, Address) else source
        if self._pool is not source:
            # Else a pool that nobody closed would complain when the interpreter ends. Not in a forked child: the
            # connections are its parent's.
            weakref.finalize(self, _close_in, os.getpid(), self._pool)

    def borrowed(self) -> contextlib.AbstractContextManager[psycopg.Connection]:
        """Lend a connection that was alive a moment ago.

        Raises:
            Unavailable: there is none within half a minute.
        """
        return self._given_back(self._lend(_WAIT_S))

    def borrowed_at_once(self) -> contextlib.AbstractContextManager[psycopg.Connection] | None:
        """Lend a connection if there is one that nobody uses."""
        try:
            return self._given_back(self._lend(_MOMENT_S))
        except Unavailable:
            return None

    @contextlib.contextmanager
    def _given_back(self, connection: psycopg.Connection) -> Generator[psycopg.Connection]:
        is_users = self._pool is self._source
        before = connection.autocommit, connection.prepare_threshold
        try:
            if is_users:
                connection.autocommit, connection.prepare_threshold = True, None
            yield connection
        finally:
            if is_users and not connection.closed:
                connection.autocommit, connection.prepare_threshold = before
            self._pool.putconn(connection)

    def close(self) -> None:
        """Close the pool, unless it is the user's."""
        if self._pool is not self._source:
            self._pool.close()

    def _lend(self, wait_s: float) -> psycopg.Connection:
        while True:
            try:
                connection: psycopg.Connection = self._pool.getconn(wait_s)
            except driver().OperationalError as error:  # as a pool's own are
                raise self._none(error) from error
            if _is_alive(connection):
                return connection
            connection.close()
            self._pool.putconn(connection)  # which drops it and opens another

    def _none(self, error: Exception) -> Unavailable:
        """Return what it means that a pool lends nothing."""
        from psycopg_pool import PoolClosed

        if isinstance(error, PoolClosed):
            return Unavailable(f"the pool of {self._shown} is closed; open it, or a new Database")
        return Unavailable(f"no connection to {self._shown} within {_WAIT_S:.0f} s")


@contextlib.contextmanager
def connected(address: Address) -> Generator[psycopg.Connection]:
    """Open a connection for the length of a block, outside any pool: its error says at once what is wrong.

    Raises:
        Unavailable: there is no such server or database, or it refuses.
    """
    psycopg = driver()
    try:
        connection = psycopg.connect(address.conninfo, autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        raise translated(error, address.shown) from error
    with connection:
        yield connection


def _open_pool(address: Address, schema: str) -> ConnectionPool[Any]:
    from psycopg_pool import ConnectionPool

    return ConnectionPool(
        address.conninfo, min_size=0, max_size=_MOST, open=True, kwargs={"autocommit": True, "prepare_threshold": None},
        configure=partial(set_up, schema=schema),
    )  # fmt: skip


def _is_alive(connection: psycopg.Connection) -> bool:
    """Say whether the server still answers. An idle connection has nothing to say unless it was closed."""
    psycopg = driver()
    try:
        if wait(connection.pgconn.socket, timeout_s=0):
            connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def _close_in(process: int, pool: ConnectionPool[Any]) -> None:
    if process == os.getpid():
        pool.close()
