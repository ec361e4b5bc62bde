"""A cache over one SQLite file: it outlives the process, and processes share it."""

from __future__ import annotations

import json
import os
import sqlite3
import time

from clew.storage.cache import BaseCache, Namespace, check_namespace
from clew.storage.sqlite.database import SqliteDatabase
from clew.storage.sqlite.transactions import Work

_FORGOTTEN_PER_WRITE = 64  # expired entries, so that no write waits for a great tidying


class SqliteCache(BaseCache):
    """Keeps results in a SQLite file. Each write also forgets some of what has expired.

    Args:
        path: of the file (":memory:" for one that lives in this object), or an open SqliteDatabase.

    Raises:
        Unavailable, SchemaMismatch: see SqliteDatabase; the methods raise them too.
    """

    database: SqliteDatabase

    def __init__(self, path: str | os.PathLike[str] | SqliteDatabase = ":memory:") -> None:
        self._owns_database = not isinstance(path, SqliteDatabase)
        # NORMAL: what a power cut takes from a cache is computed again.
        self.database = path if isinstance(path, SqliteDatabase) else SqliteDatabase(path, synchronous="NORMAL")

    def get(self, namespace: Namespace, key: str) -> bytes | None:
        return self.database.glance(_get(namespace, key))

    def set(self, namespace: Namespace, key: str, data: bytes, ttl_s: float | None) -> None:
        self.database.write(_set(namespace, key, data, ttl_s))

    def clear(self, namespace: Namespace = ()) -> None:
        self.database.write(_clear(namespace))

    async def aget(self, namespace: Namespace, key: str) -> bytes | None:
        return await self.database.aglance(_get(namespace, key))

    async def aset(self, namespace: Namespace, key: str, data: bytes, ttl_s: float | None) -> None:
        await self.database.awrite(_set(namespace, key, data, ttl_s))

    async def aclear(self, namespace: Namespace = ()) -> None:
        await self.database.awrite(_clear(namespace))

    def close(self) -> None:
        """Close the file, unless the cache was given an open database."""
        if self._owns_database:
            self.database.close()


def _get(namespace: Namespace, key: str) -> Work[bytes | None]:
    at, now_s = (_text(namespace), json.dumps(key)), time.time()

    def work(connection: sqlite3.Connection) -> bytes | None:
        row = connection.execute(
            "SELECT data FROM clew_cache WHERE namespace = ? AND key = ? AND (expires_s IS NULL OR expires_s > ?)",
            (*at, now_s),
        ).fetchone()
        return row[0] if row else None

    return work


def _set(namespace: Namespace, key: str, data: bytes, ttl_s: float | None) -> Work[None]:
    at, now_s = (_text(namespace), json.dumps(key)), time.time()
    expires_s = None if ttl_s is None else now_s + ttl_s

    def work(connection: sqlite3.Connection) -> None:
        connection.execute(
            "DELETE FROM clew_cache WHERE rowid IN (SELECT rowid FROM clew_cache WHERE expires_s <= ? LIMIT ?)",
            (now_s, _FORGOTTEN_PER_WRITE),
        )
        connection.execute("INSERT OR REPLACE INTO clew_cache VALUES (?, ?, ?, ?)", (*at, data, expires_s))

    return work


def _clear(namespace: Namespace) -> Work[None]:
    first = _text(namespace)
    after = first + "\x7f"  # JSON texts are printable ASCII

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM clew_cache WHERE namespace >= ? AND namespace < ?", (first, after))

    return work


def _text(namespace: Namespace) -> str:
    """Return the labels as JSON texts: no label can look like the end of another, or hold what SQLite cannot."""
    check_namespace(namespace)
    return "".join(json.dumps(label) + "," for label in namespace)
