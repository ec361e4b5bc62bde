"""Memories in SQLite: writing them, and reading them one by one or newest first. See items_search for queries.

Functions of an open connection; who opens the transaction decides what is committed together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct, json
from msgspec.structs import replace

from clew.errors import VersionConflict
from clew.storage.sqlite.items_index import add_index, fields_text, has_embedders, keep_index, keep_waiting
from clew.storage.sqlite.items_packs import keep_full_pack
from clew.storage.sqlite.items_past import forget_empty, keep_version, keep_versions, trim
from clew.store.clock import utc_now
from clew.store.corpus import SEQUENCE_BITS
from clew.store.expiry import to_us
from clew.store.namespaces import decode, encode, path_range
from clew.store.operations import Ended, Namespace
from clew.store.planning import NO_EMBEDDER, PreparedWrite
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
    emptied: set[int] = set()
    if any(write.waiting == NO_EMBEDDER for write in writes) and not has_embedders(connection):
        writes = [replace(write, waiting=None) if write.waiting == NO_EMBEDDER else write for write in writes]
    for position, write in enumerate(writes):
        # Each write of a transaction has a microsecond of its own, so that newest first is their order.
        moment_us = now_us + position
        if not _add(connection, write, now_us, moment_us):
            _change(connection, write, now_us, moment_us, emptied)
    if emptied:
        forget_empty(connection, sorted(emptied))


# The id of the next item of a namespace `n`.
NEXT_ID = f"""max(n.id << {SEQUENCE_BITS} | n.next_sequence,
    1 + coalesce((SELECT max(last.id) FROM clew_items last WHERE last.id < (n.id + 1) << {SEQUENCE_BITS}), 0))"""
_ADD = f"""
INSERT INTO clew_items (id, namespace, key, value, created_at, updated_at, ttl, expires_at, version, fields, run_id,
    thread_id)
SELECT {NEXT_ID}, n.id, ?1, ?2, ?3, ?3, ?4, ?5 + ?4,
    1 + coalesce((SELECT max(v.version) FROM clew_item_versions v WHERE v.namespace = n.id AND v.key = ?1), 0),
    ?6, ?7, ?8
FROM clew_namespaces n WHERE n.path = ?9 ON CONFLICT (namespace, key) DO NOTHING
"""


def _add(connection: sqlite3.Connection, write: PreparedWrite, now_us: int, moment_us: int) -> bool:
    """Add an item, and say whether that was the write: not where one of its key is there, nor without the namespace."""
    if write.value is None or write.if_version:
        return False
    added = connection.execute(
        _ADD,
        (
            write.key, write.value.decode(), moment_us, write.ttl_us, now_us, fields_text(write.fields),
            *_writer(write), encode(write.namespace),
        ),
    )  # fmt: skip
    item_id = added.lastrowid
    if added.rowcount == 0 or item_id is None:
        return False
    add_index(connection, item_id, write.words, write.marks, write.vectors)
    if write.waiting is not None:
        keep_waiting(connection, item_id, write.waiting, now_us)
    keep_full_pack(connection, item_id)
    return True


class _Old(Struct):
    """What is known of an item before it is written."""

    id: int
    version: int
    updated_us: int
    is_live: bool
    waits: bool


def _change(
    connection: sqlite3.Connection, write: PreparedWrite, now_us: int, moment_us: int, emptied: set[int]
) -> None:
    """Replace or delete the item that is there; or make the namespace that is missing, and add the item."""
    old = _find(connection, write, now_us)
    version = old.version if old and old.is_live else 0
    if write.if_version is not None and write.if_version != version:
        raise VersionConflict(
            f"item {write.key!r} of {write.namespace!r} is of version {version}, not {write.if_version}: "
            "another writer was first; read it again"
        )
    if old is not None:
        _end(connection, write, old, now_us, moment_us)
        if write.value is not None and old.is_live:
            _replace(connection, write, old, now_us, moment_us)
            return
        delete_items(connection, [old.id])
        emptied.add(old.id >> SEQUENCE_BITS)
    if write.value is not None:
        connection.execute(
            "INSERT OR IGNORE INTO clew_namespaces (path, next_sequence) VALUES (?, 0)", (encode(write.namespace),)
        )
        _add(connection, write, now_us, moment_us)


def _end(connection: sqlite3.Connection, write: PreparedWrite, old: _Old, now_us: int, moment_us: int) -> None:
    """Keep the value that a write ends as an old version."""
    if write.keeps == 0:
        return
    ended: Ended = "deleted" if write.value is None else "replaced"
    keep_version(connection, old.id, ended, now_us, moment_us, write.writer)
    if old.version > write.keeps:
        trim(connection, old.id >> SEQUENCE_BITS, write.key, old.version - write.keeps)


_FIND = """
SELECT id, version, updated_at, expires_at IS NULL OR expires_at > ?,
    EXISTS (SELECT 1 FROM clew_item_outbox o WHERE o.id = i.id) FROM clew_items i
WHERE namespace = (SELECT id FROM clew_namespaces WHERE path = ?) AND key = ?
"""


def _find(connection: sqlite3.Connection, write: PreparedWrite, now_us: int) -> _Old | None:
    """Give the item that is there, which may have expired."""
    row = connection.execute(_FIND, (now_us, encode(write.namespace), write.key)).fetchone()
    return None if row is None else _Old(*row)


def _replace(connection: sqlite3.Connection, write: PreparedWrite, old: _Old, now_us: int, moment_us: int) -> None:
    connection.execute(
        "UPDATE clew_items SET value = ?, updated_at = ?, ttl = ?, expires_at = ?, version = ?, fields = ?, "
        "run_id = ?, thread_id = ? WHERE id = ?",
        (
            (write.value or b"").decode(), max(moment_us, old.updated_us + 1), write.ttl_us,
            None if write.ttl_us is None else now_us + write.ttl_us, old.version + 1, fields_text(write.fields),
            *_writer(write), old.id,
        ),
    )  # fmt: skip
    keep_index(connection, old.id, write.words, write.marks, write.vectors)
    if old.waits or write.waiting is not None:
        keep_waiting(connection, old.id, write.waiting, now_us)


def _writer(write: PreparedWrite) -> tuple[str | None, str | None]:
    return (write.writer.run_id, write.writer.thread_id) if write.writer else (None, None)


def delete_items(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Delete items by id with all that is kept of them; their namespaces stay."""
    doomed = [(i,) for i in ids]
    connection.executemany("DELETE FROM clew_item_index WHERE id = ?", doomed)
    connection.executemany("DELETE FROM clew_item_vectors WHERE id = ?", doomed)
    connection.executemany("DELETE FROM clew_item_outbox WHERE id = ?", doomed)
    connection.executemany("DELETE FROM clew_items WHERE id = ?", doomed)
    connection.executemany(
        "UPDATE clew_namespaces SET next_sequence = max(next_sequence, ?2 + 1) WHERE id = ?1",
        [divmod(i, 1 << SEQUENCE_BITS) for i in ids],
    )


def delete_whole(connection: sqlite3.Connection, ids: Sequence[int], now_us: int, keeps: int) -> int:
    """Delete items by id, and the namespaces that nothing is left of; give their number."""
    if keeps:
        keep_versions(connection, ids, now_us)
        _trim_deleted(connection, ids, keeps)
    delete_items(connection, ids)
    forget_empty(connection, sorted({item_id >> SEQUENCE_BITS for item_id in ids}))
    return len(ids)


def _trim_deleted(connection: sqlite3.Connection, ids: Sequence[int], keeps: int) -> None:
    """Forget the versions of items, about to be deleted, beyond those that are kept."""
    changed_often = connection.execute(
        "SELECT namespace, key, version FROM clew_items WHERE id IN (SELECT value FROM json_each(?)) AND version > ?",
        (json.encode(ids).decode(), keeps),
    )
    for namespace, key, version in changed_often.fetchall():
        trim(connection, namespace, key, version - keeps)


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
