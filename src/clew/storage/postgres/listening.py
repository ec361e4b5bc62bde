"""One connection of a process that hears what the database calls (LISTEN), on an OS thread of its own.

It comes back by itself when it was lost, and says so, for news may have been missed. Behind a transaction pooler
nothing can be heard: then it stays silent, and whoever waits looks at the database from time to time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from clew.errors import ClewError
from clew.storage.postgres.addresses import driver
from clew.storage.postgres.migrations import quote
from clew.storage.postgres.statements import rows

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("clew.database")

_RETRY_S = 1.0
_POOLED_RETRY_S = 300.0  # a pooler is not likely to go away
_CHECK_S = 10.0

#: What is called with the payload of a call, or with None when calls may have been missed.
Tell = Callable[[str | None], object]


class Listener:
    """Hears channels of one database for as long as somebody follows them, or until it is closed.

    Args:
        connect: opens a connection in autocommit mode for the length of a block, outside of any pool.
    """

    def __init__(self, connect: Callable[[], contextlib.AbstractContextManager[psycopg.Connection]]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._tells: dict[str, set[Tell]] = {}
        self._thread: threading.Thread | None = None
        self._closed = False
        self._bell, self._rung = socket.socketpair()
        self._bell.setblocking(False)
        self._rung.setblocking(False)

    def follow(self, channel: str, tell: Tell) -> Callable[[], None]:
        """Call `tell` for each call on a channel, from now on until what is returned is called."""
        with self._lock:
            self._tells.setdefault(channel, set()).add(tell)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="clew-postgres-news", daemon=True)
                self._thread.start()
        self._ring()

        def leave() -> None:
            with self._lock:
                tells = self._tells.get(channel, set())
                tells.discard(tell)
                if not tells:
                    self._tells.pop(channel, None)
            self._ring()

        return leave

    def close(self) -> None:
        """Hear nothing more, and close the connection."""
        with self._lock:
            self._closed, thread = True, self._thread
        self._ring()
        if thread is None:
            self._release()
        elif thread is not threading.current_thread():
            thread.join(_CHECK_S)

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # it is full, and so rings anyway; or closed
            self._bell.send(b"!")

    def _release(self) -> None:
        self._bell.close()
        self._rung.close()

    def _run(self) -> None:
        while not self._closed:
            pause_s = _RETRY_S
            try:
                with self._connect() as connection:
                    if _is_pooled(connection):
                        log.info("there is a pooler between here and the database: news of it is looked for, not heard")
                        pause_s = _POOLED_RETRY_S
                    else:
                        self._hear(connection)
            except (driver().Error, ClewError, OSError) as error:
                log.info("the connection that hears news of the database was lost: %s", error)
            if not self._closed:
                self._wait(pause_s)
        self._release()

    def _hear(self, connection: psycopg.Connection) -> None:
        # Those that come while a statement is carried out.
        connection.add_notify_handler(lambda call: self._tell(call.channel, call.payload))
        heard: set[str] = set()
        while not self._closed:
            heard = self._matched(connection, heard)
            if not self._wait(_CHECK_S, connection):
                connection.execute("SELECT 1")  # a link that was cut shows only when it is used
            connection.pgconn.consume_input()
            while call := connection.pgconn.notifies():
                self._tell(call.relname.decode(), call.extra.decode())

    def _matched(self, connection: psycopg.Connection, heard: set[str]) -> set[str]:
        """Listen on the channels that are followed, and on no other."""
        with self._lock:
            wanted = set(self._tells)
        for channel in wanted - heard:
            connection.execute(f"LISTEN {quote(channel)}".encode())
            self._tell(channel, None)
        for channel in heard - wanted:
            connection.execute(f"UNLISTEN {quote(channel)}".encode())
        return wanted

    def _wait(self, timeout_s: float, connection: psycopg.Connection | None = None) -> bool:
        """Wait until there may be something to do; False if there was nothing."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._rung, selectors.EVENT_READ)
            if connection is not None:
                selector.register(connection, selectors.EVENT_READ)
            ready = selector.select(timeout_s)
        with contextlib.suppress(BlockingIOError):
            while self._rung.recv(1024):
                pass
        return bool(ready)

    def _tell(self, channel: str, payload: str | None) -> None:
        with self._lock:
            tells = list(self._tells.get(channel, ()))
        for tell in tells:
            tell(payload)


def close_with(owner: object, listener: Listener) -> None:
    """Close a listener when its owner is gone, or the program ends; not in a forked child, which has none."""
    weakref.finalize(owner, _close_in, os.getpid(), listener)


def _close_in(process: int, listener: Any) -> None:
    if process == os.getpid():
        listener.close()


def _is_pooled(connection: psycopg.Connection) -> bool:
    """Say whether the session is not ours alone: a pooler tells its clients another number than the server's own."""
    return rows(connection, "SELECT pg_backend_pid()") != [(connection.info.backend_pid,)]
