"""A cache over a PostgreSQL database: it outlives the process, and machines share it."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from clew.storage.cache import BaseCache, Namespace, check_namespace
from clew.storage.postgres.database import PostgresDatabase
from clew.storage.postgres.statements import change, rows

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import ConnectionPool

_FORGOTTEN_PER_WRITE = 64  # expired entries, so that no write waits for a great tidying
_FORGET = (
    "DELETE FROM clew_cache WHERE ctid IN (SELECT ctid FROM clew_cache WHERE expires_s <= %s LIMIT %s "
    "FOR UPDATE SKIP LOCKED)"
)
_PUT = (
    "INSERT INTO clew_cache (namespace, key, data, expires_s) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (namespace, key) DO UPDATE SET data = excluded.data, expires_s = excluded.expires_s"
)


class PostgresCache(BaseCache):
    """Keeps results in a PostgreSQL database. Each write also forgets some of what has expired.

    Args:
        where: an address, a psycopg_pool.ConnectionPool, or a PostgresDatabase that it shares.
        schema: see PostgresDatabase; only with an address or a pool.

    Raises:
        InvalidOption, MissingDependency: see PostgresDatabase, whose errors the methods raise, too.
    """

    database: PostgresDatabase

    def __init__(self, where: str | ConnectionPool[Any] | PostgresDatabase, *, schema: str = "public") -> None:
        self._owns_database = not isinstance(where, PostgresDatabase)
        self.database = where if isinstance(where, PostgresDatabase) else PostgresDatabase(where, schema=schema)

    def get(self, namespace: Namespace, key: str) -> bytes | None:
        return self.database.transact("glance", partial(_get, _at(namespace, key), time.time()))

    def set(self, namespace: Namespace, key: str, data: bytes, ttl_s: float | None) -> None:
        self.database.write(partial(_set, _at(namespace, key), data, ttl_s, time.time()))

    def clear(self, namespace: Namespace = ()) -> None:
        self.database.write(partial(_clear, _text(namespace)))

    async def aget(self, namespace: Namespace, key: str) -> bytes | None:
        return await self.database.atransact("glance", partial(_get, _at(namespace, key), time.time()))

    async def aset(self, namespace: Namespace, key: str, data: bytes, ttl_s: float | None) -> None:
        await self.database.awrite(partial(_set, _at(namespace, key), data, ttl_s, time.time()))

    async def aclear(self, namespace: Namespace = ()) -> None:
        await self.database.awrite(partial(_clear, _text(namespace)))

    def close(self) -> None:
        """Give back connections, unless the cache was given an open database."""
        if self._owns_database:
            self.database.close()


def _get(at: tuple[str, str], now_s: float, connection: psycopg.Connection) -> bytes | None:
    found = rows(
        connection,
        "SELECT data FROM clew_cache WHERE namespace = %s AND key = %s AND (expires_s IS NULL OR expires_s > %s)",
        (*at, now_s),
    )
    return found[0][0] if found else None


def _set(at: tuple[str, str], data: bytes, ttl_s: float | None, now_s: float, connection: psycopg.Connection) -> None:
    change(connection, _FORGET, (now_s, _FORGOTTEN_PER_WRITE))
    change(connection, _PUT, (*at, data, None if ttl_s is None else now_s + ttl_s))


def _clear(first: str, connection: psycopg.Connection) -> None:
    after = first + "\x7f"  # JSON texts are printable ASCII
    change(connection, "DELETE FROM clew_cache WHERE namespace >= %s AND namespace < %s", (first, after))


def _at(namespace: Namespace, key: str) -> tuple[str, str]:
    return _text(namespace), json.dumps(key)


def _text(namespace: Namespace) -> str:
    """Return the labels as JSON texts: no label can look like the end of another, or hold what PostgreSQL cannot."""
    check_namespace(namespace)
    return "".join(json.dumps(label) + "," for label in namespace)
