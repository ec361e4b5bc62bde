"""What a PostgreSQL database tells the processes that use it: news of threads by NOTIFY, work by wake-ups."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from clew.engine.records import ThreadKey
from clew.storage.postgres.addresses import Address, driver
from clew.storage.postgres.connections import connected
from clew.storage.postgres.listening import Listener, close_with
from clew.storage.postgres.texts import to_held
from clew.storage.postgres.waking import Waker

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from clew.storage.postgres.database import PostgresDatabase


class PostgresNews:
    """News of one database, for one process.

    Args:
        database: whose.
        source: its address, or the user's pool, from which nothing but the address is taken.
    """

    def __init__(self, database: PostgresDatabase, source: Address | ConnectionPool[Any]) -> None:
        self._database = database
        self._schema = database.schema
        self.listener = Listener(lambda: connected(source if isinstance(source, Address) else _address_of(source)))
        close_with(self, self.listener)
        self._lock = threading.Lock()
        self._tells: dict[str, list[Callable[[], object]]] = {}
        self._hears = False
        self._wakers: list[Waker] = []

    def follow(self, thread: ThreadKey, tell: Callable[[], object]) -> Callable[[], None]:
        """See News."""
        return self._hear(name_of(thread.workflow, thread.thread_id), tell)

    def heed(self, thread: ThreadKey, tell: Callable[[], object]) -> Callable[[], None]:
        """See News."""
        return self._hear(name_of(thread.workflow, thread.thread_id, "asked"), tell)

    def attend(self, workflows: Sequence[str], woken: Callable[[], object]) -> Callable[[], None]:
        """See News."""
        waker = Waker(self._database, self.listener, [name_of(self._schema, workflow) for workflow in workflows], woken)
        self._wakers.append(waker)
        return waker.stop

    def close(self) -> None:
        """Tell nothing more."""
        for waker in self._wakers:
            waker.stop()
        self.listener.close()

    def _hear(self, name: str, tell: Callable[[], object]) -> Callable[[], None]:
        with self._lock:
            self._tells.setdefault(name, []).append(tell)
            is_first, self._hears = not self._hears, True
        if is_first:
            tells = self._tells
            self.listener.follow(name_of(self._schema), lambda payload: _tell(tells, payload))

        def leave() -> None:
            with self._lock, contextlib.suppress(KeyError, ValueError):
                self._tells[name].remove(tell)
                if not self._tells[name]:
                    del self._tells[name]

        return leave


def name_of(*parts: str) -> str:
    """Return what `clew_name_of` in the database returns."""
    joined = "\n".join(to_held(part) for part in parts)
    return f"clew_{hashlib.sha256(joined.encode()).hexdigest()[:32]}"


def _tell(tells: dict[str, list[Callable[[], object]]], payload: str | None) -> None:
    everybody = [tell for each in list(tells.values()) for tell in list(each)]
    for tell in everybody if payload is None else list(tells.get(payload, ())):
        tell()


def _address_of(pool: ConnectionPool[Any]) -> Address:
    """Return where the connections of a pool lead: one of its own, kept for good, would be missed there."""
    psycopg = driver()
    with pool.connection() as connection:
        info = connection.info
        return Address(psycopg.conninfo.make_conninfo(info.dsn, password=info.password or None), info.host, None)
