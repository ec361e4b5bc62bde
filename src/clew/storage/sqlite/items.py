"""Memories in SQLite: writing them, and reading them one by one or newest first. See items_search for queries.

Functions of an open connection; who opens the transaction decides what is committed together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, json

from clew.errors import VersionConflict
from clew.storage.sqlite.items_index import add_index, keep_index, keep_waiting
from clew.storage.sqlite.items_packs import full_packs, keep_packs
from clew.storage.sqlite.items_past import forget_empty, keep_version, keep_versions, last_version, trim
from clew.store.clock import utc_now
from clew.store.corpus import SEQUENCE_BITS
from clew.store.expiry import to_us
from clew.store.namespaces import decode, encode, path_range
from clew.store.operations import Ended, Namespace
from clew.store.planning import PreparedWrite
from clew.store.search import Stored

COLUMNS = "i.id, n.path, i.key, i.value, i.created_at, i.updated_at, i.ttl, i.version"
JOINED = "clew_items i JOIN clew_namespaces n ON n.id = i.namespace"
LIVE = "(i.expires_at IS NULL OR i.expires_at > ?)"
_GET = f"""
SELECT i.id, i.value, i.created_at, i.updated_at, i.ttl, i.version FROM clew_items i
WHERE i.namespace = (SELECT id FROM clew_namespaces WHERE path = ?) AND i.key = ? AND {LIVE}
"""


def apply_writes(connection: sqlite3.Connection, writes: Sequence[PreparedWrite], now: datetime | None = None) -> None:
    """Apply writes in order, inside a transaction that the caller has open; `now` is the time if left out.

    Raises:
        VersionConflict: an item is of another version than the write demands.
    """
    now_us = to_us(now or utc_now())
    spaces: dict[Namespace, _Space] = {}
    for position, write in enumerate(writes):
        # Each write of a transaction has a microsecond of its own, so that newest first is their order.
        _apply(connection, write, spaces, now_us, now_us + position)
    for space in spaces.values():
        _keep_space(connection, space)


class _Space(Struct):
    """A namespace's row while its items are written."""

    id: int
    next_sequence: int
    new_items: int = 0
    may_be_empty: bool = False


class _Old(Struct):
    """What is known of an item before it is written."""

    id: int
    version: int
    created_us: int
    updated_us: int
    is_live: bool


def _apply(
    connection: sqlite3.Connection, write: PreparedWrite, spaces: dict[Namespace, _Space], now_us: int, moment_us: int
) -> None:
    space, old, last = _find(connection, write, now_us)
    version = old.version if old and old.is_live else 0
    if write.if_version is not None and write.if_version != version:
        raise VersionConflict(
            f"item {write.key!r} of {write.namespace!r} is of version {version}, not {write.if_version}: "
            "another writer was first; read it again"
        )
    if write.value is None and old is None:
        return
    space = spaces.setdefault(write.namespace, space or _make_space(connection, write.namespace))
    if old is not None:
        _end(connection, write, space, old, now_us, moment_us)
    if old is not None and (write.value is None or not old.is_live):
        delete_items(connection, [old.id])
        space.may_be_empty = True
        last = last_version(connection, space.id, write.key)
    if write.value is None:
        return
    if old is not None and old.is_live:
        _replace(connection, write, old, now_us, moment_us)
        keep_index(connection, old.id, write.words, write.marks, write.vectors)
        keep_waiting(connection, old.id, write.waiting, now_us)
    else:
        item_id = space.id << SEQUENCE_BITS | space.next_sequence
        space.next_sequence += 1
        space.new_items += 1
        _insert(connection, write, item_id, last + 1, now_us, moment_us)
        add_index(connection, item_id, write.words, write.marks, write.vectors)
        if write.waiting is not None:
            keep_waiting(connection, item_id, write.waiting, now_us)


def _end(
    connection: sqlite3.Connection, write: PreparedWrite, space: _Space, old: _Old, now_us: int, moment_us: int
) -> None:
    """Keep the value that a write ends as an old version."""
    if write.keeps == 0:
        return
    ended: Ended = "deleted" if write.value is None else "replaced"
    keep_version(connection, old.id, ended, now_us, moment_us, write.writer)
    if old.version > write.keeps:
        trim(connection, space.id, write.key, old.version - write.keeps)


_FIND = """
SELECT n.id, n.next_sequence,
    (SELECT max(v.version) FROM clew_item_versions v WHERE v.namespace = n.id AND v.key = ?1),
    i.id, i.version, i.created_at, i.updated_at, i.expires_at IS NULL OR i.expires_at > ?2
FROM clew_namespaces n LEFT JOIN clew_items i ON i.namespace = n.id AND i.key = ?1 WHERE n.path = ?3
"""


def _find(connection: sqlite3.Connection, write: PreparedWrite, now_us: int) -> tuple[_Space | None, _Old | None, int]:
    """Give the namespace, the item that is there, and the number of the last version that has ended."""
    row = connection.execute(_FIND, (write.key, now_us, encode(write.namespace))).fetchone()
    if row is None:
        return None, None, 0
    space_id, next_sequence, last, item_id, *rest = row
    old = None if item_id is None else _Old(item_id, *rest)
    return _Space(space_id, next_sequence), old, last or 0


def _make_space(connection: sqlite3.Connection, namespace: Namespace) -> _Space:
    made = connection.execute("INSERT INTO clew_namespaces (path, next_sequence) VALUES (?, 0)", (encode(namespace),))
    assert made.lastrowid is not None
    return _Space(made.lastrowid, 0)


def _keep_space(connection: sqlite3.Connection, space: _Space) -> None:
    if space.new_items:
        connection.execute("UPDATE clew_namespaces SET next_sequence = ? WHERE id = ?", (space.next_sequence, space.id))
        next_id = space.id << SEQUENCE_BITS | space.next_sequence
        keep_packs(connection, full_packs(next_id - space.new_items, next_id))
    if space.may_be_empty:
        forget_empty(connection, [space.id])


def _insert(
    connection: sqlite3.Connection, write: PreparedWrite, item_id: int, version: int, now_us: int, moment_us: int
) -> None:
    connection.execute(
        "INSERT INTO clew_items (id, namespace, key, value, created_at, updated_at, ttl, expires_at, version, fields, "
        "run_id, thread_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            item_id, item_id >> SEQUENCE_BITS, write.key, _value(write), moment_us, moment_us, write.ttl_us,
            None if write.ttl_us is None else now_us + write.ttl_us, version, _fields(write), *_writer(write),
        ),
    )  # fmt: skip


def _replace(connection: sqlite3.Connection, write: PreparedWrite, old: _Old, now_us: int, moment_us: int) -> None:
    connection.execute(
        "UPDATE clew_items SET value = ?, updated_at = ?, ttl = ?, expires_at = ?, version = ?, fields = ?, "
        "run_id = ?, thread_id = ? WHERE id = ?",
        (
            _value(write), max(moment_us, old.updated_us + 1), write.ttl_us,
            None if write.ttl_us is None else now_us + write.ttl_us, old.version + 1, _fields(write), *_writer(write),
            old.id,
        ),
    )  # fmt: skip


def _value(write: PreparedWrite) -> str:
    return (write.value or b"").decode()


def _fields(write: PreparedWrite) -> str | None:
    return None if write.fields is None else json.encode(write.fields).decode()


def _writer(write: PreparedWrite) -> tuple[str | None, str | None]:
    return (write.writer.run_id, write.writer.thread_id) if write.writer else (None, None)


def delete_items(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Delete items by id with all that is kept of them; their namespaces stay."""
    doomed = [(i,) for i in ids]
    connection.executemany("DELETE FROM clew_item_index WHERE id = ?", doomed)
    connection.executemany("DELETE FROM clew_item_vectors WHERE id = ?", doomed)
    connection.executemany("DELETE FROM clew_item_outbox WHERE id = ?", doomed)
    connection.executemany("DELETE FROM clew_items WHERE id = ?", doomed)


def delete_whole(connection: sqlite3.Connection, ids: Sequence[int], now_us: int, keeps: int) -> int:
    """Delete items by id, and the namespaces that nothing is left of; give their number."""
    if keeps:
        keep_versions(connection, ids, now_us)
    delete_items(connection, ids)
    forget_empty(connection, sorted({item_id >> SEQUENCE_BITS for item_id in ids}))
    return len(ids)


def ids_below(connection: sqlite3.Connection, prefix: Namespace) -> list[int]:
    """Give the ids of everything at or below the prefix, expired items included."""
    rows = connection.execute(f"SELECT i.id FROM {JOINED} WHERE n.path >= ? AND n.path < ?", path_range(prefix))
    return [row[0] for row in rows]


def ids_expired(connection: sqlite3.Connection, now_us: int) -> list[int]:
    """Give the ids of everything that has expired."""
    return [row[0] for row in connection.execute("SELECT id FROM clew_items WHERE expires_at <= ?", (now_us,))]


def find_item(connection: sqlite3.Connection, namespace: Namespace, key: str, now_us: int) -> Stored | None:
    """Give one item that has not expired."""
    row = connection.execute(_GET, (encode(namespace), key, now_us)).fetchone()
    if row is None:
        return None
    item_id, *rest = row
    return Stored(item_id, namespace, key, *rest)


def refresh_item(connection: sqlite3.Connection, namespace: Namespace, key: str, now_us: int) -> None:
    """Give an item its whole ttl again."""
    connection.execute(
        "UPDATE clew_items SET expires_at = ?1 + ttl WHERE expires_at > ?1 AND key = ?3 "
        "AND namespace = (SELECT id FROM clew_namespaces WHERE path = ?2)",
        (now_us, encode(namespace), key),
    )


def held_namespaces(connection: sqlite3.Connection, paths: tuple[bytes, bytes], now_us: int) -> Iterator[Namespace]:
    """Give the namespaces in a range of paths with an item that has not expired, sorted."""
    rows = connection.execute(
        "SELECT n.path FROM clew_namespaces n WHERE n.path >= ? AND n.path < ? "
        f"AND EXISTS (SELECT 1 FROM clew_items i WHERE i.namespace = n.id AND {LIVE}) ORDER BY n.path",
        (*paths, now_us),
    )
    return (decode(row[0]) for row in rows)


def as_stored(row: Sequence[Any]) -> Stored:
    """Give an item from a row of COLUMNS."""
    item_id, path, *rest = row
    return Stored(item_id, decode(path), *rest)
