"""All memories of a SQLite file, for whoever moves or erases them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from clew.errors import Conflict
from clew.storage.sqlite.items import NEXT_ID
from clew.storage.sqlite.items_index import fields_of, keep_index, keep_waiting
from clew.storage.sqlite.items_packs import keep_full_pack
from clew.storage.sqlite.items_past import versions
from clew.store.corpus import SEQUENCE_BITS
from clew.store.history import Version
from clew.store.moving import Current, Memory
from clew.store.namespaces import decode, encode
from clew.store.operations import Namespace, Writer
from clew.store.planning import PreparedWrite, Vectors

_ITEMS = """
SELECT i.id, n.path, i.key, i.value, i.ttl, i.fields, i.run_id, i.thread_id, i.version, i.created_at, i.updated_at,
    i.expires_at, e.name, y.hashes, y.vectors, o.reason
FROM clew_items i JOIN clew_namespaces n ON n.id = i.namespace
LEFT JOIN clew_item_index x ON x.id = i.id LEFT JOIN clew_embedders e ON e.id = x.model
LEFT JOIN clew_item_vectors y ON y.id = i.id LEFT JOIN clew_item_outbox o ON o.id = i.id
WHERE i.id > ? ORDER BY i.id LIMIT ?
"""
_PAST = """
SELECT min(v.id), n.path, v.key FROM clew_item_versions v JOIN clew_namespaces n ON n.id = v.namespace
WHERE NOT EXISTS (SELECT 1 FROM clew_items i WHERE i.namespace = v.namespace AND i.key = v.key)
GROUP BY v.namespace, v.key HAVING min(v.id) > ? ORDER BY 1 LIMIT ?
"""
_TAKE_IN = """
INSERT INTO clew_items (id, namespace, key, value, created_at, updated_at, ttl, expires_at, version, fields, run_id,
    thread_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_TAKE_IN_VERSION = """
INSERT INTO clew_item_versions (namespace, key, version, value, created_at, updated_at, fields, run_id, thread_id,
    ended_at, ended, ended_run_id, ended_thread_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_THERE = """
SELECT EXISTS (SELECT 1 FROM clew_items WHERE namespace = ?1 AND key = ?2)
    OR EXISTS (SELECT 1 FROM clew_item_versions WHERE namespace = ?1 AND key = ?2)
"""


class SqliteMover:
    """The engine's side of moving memories; see Mover."""

    def all_namespaces(self, state: sqlite3.Connection) -> list[Namespace]:
        return [decode(path) for (path,) in state.execute("SELECT path FROM clew_namespaces ORDER BY path")]

    def forget_writers(self, state: sqlite3.Connection, thread_ids: Sequence[str]) -> None:
        ids = [(thread_id,) for thread_id in thread_ids]
        for table, of in (("clew_items", ""), ("clew_item_versions", ""), ("clew_item_versions", "ended_")):
            state.executemany(
                f"UPDATE {table} SET {of}run_id = NULL, {of}thread_id = NULL WHERE {of}thread_id = ?", ids
            )

    def memories(self, state: sqlite3.Connection, after: int, limit: int, *, past: bool) -> list[Memory]:
        rows = state.execute(_PAST if past else _ITEMS, (after, limit)).fetchall()
        return [_memory(state, row) for row in rows]

    def take_in(self, state: sqlite3.Connection, memories: Sequence[Memory], *, skip: bool) -> int:
        return sum(_take_in(state, memory, skip) for memory in memories)


def _memory(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Memory:
    namespace, key = decode(row[1]), row[2]
    ended = [version for version in versions(connection, namespace, key, None) if not _is_current(version, row)]
    return Memory(
        namespace=namespace, key=key, order=row[0], item=_current(namespace, key, row[3:]) if len(row) > 3 else None,
        versions=sorted(ended, key=lambda version: version.version),
    )  # fmt: skip


def _is_current(version: Version, row: tuple[Any, ...]) -> bool:
    """Say whether a version is the one of the item's own row."""
    return len(row) > 3 and version.version == row[8]


def _current(namespace: Namespace, key: str, row: tuple[Any, ...]) -> Current:
    value, ttl_us, fields, run_id, thread_id, version, created_us, updated_us, expires_us, model, *rest = row
    hashes, data, reason = rest
    write = PreparedWrite(
        namespace=namespace, key=key, value=value.encode(), ttl_us=ttl_us, fields=fields_of(fields), waiting=reason,
        vectors=None if model is None else Vectors(model=model, hashes=hashes, data=data),
        writer=None if run_id is None else Writer(run_id=run_id, thread_id=thread_id),
    )  # fmt: skip
    return Current(
        write=write, version=version, created_us=created_us, updated_us=updated_us, expires_us=expires_us
    )  # fmt: skip


def _take_in(connection: sqlite3.Connection, memory: Memory, skip: bool) -> int:
    path = (encode(memory.namespace),)
    connection.execute("INSERT OR IGNORE INTO clew_namespaces (path, next_sequence) VALUES (?, 0)", path)
    find = f"SELECT n.id, {NEXT_ID} FROM clew_namespaces n WHERE n.path = ?"
    space, next_id = connection.execute(find, path).fetchone()
    if connection.execute(_THERE, (space, memory.key)).fetchone()[0]:
        if skip:
            return 0
        raise Conflict(f"there is a memory {memory.key!r} in {memory.namespace!r} already")
    if memory.item is not None:
        _insert(connection, memory.item, next_id)
    for version in memory.versions:
        _, key, number, value, created_us, updated_us, fields, *rest = version
        kept = value.decode() if isinstance(value, bytes) else value
        connection.execute(_TAKE_IN_VERSION, (space, key, number, kept, created_us, updated_us, _fields(fields), *rest))
    return 1


def _insert(connection: sqlite3.Connection, item: Current, id: int) -> None:
    write = item.write
    writer = (write.writer.run_id, write.writer.thread_id) if write.writer else (None, None)
    connection.execute(
        _TAKE_IN,
        (
            id, id >> SEQUENCE_BITS, write.key, (write.value or b"").decode(), item.created_us, item.updated_us,
            write.ttl_us, item.expires_us, item.version, _fields(write.fields), *writer,
        ),
    )  # fmt: skip
    keep_index(connection, id, write.words, write.marks, write.vectors)
    if write.waiting is not None:
        keep_waiting(connection, id, write.waiting, 0)
    keep_full_pack(connection, id)


def _fields(fields: tuple[str, ...] | None) -> str | None:
    return None if fields is None else msgspec.json.encode(fields).decode()
