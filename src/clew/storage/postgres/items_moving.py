"""All memories of a PostgreSQL database, for whoever moves or erases them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from clew.errors import Conflict
from clew.storage.postgres.items import fields_text
from clew.storage.postgres.items_index import fields_of, keep_index
from clew.storage.postgres.items_past import versions
from clew.storage.postgres.statements import change, rows
from clew.store.corpus import SEQUENCE_BITS
from clew.store.history import Version
from clew.store.moving import Current, Memory
from clew.store.namespaces import decode, encode
from clew.store.operations import Namespace, Writer
from clew.store.planning import PreparedWrite, Vectors

if TYPE_CHECKING:
    import psycopg

_ITEMS = """
SELECT i.id, n.path, i.key, i.value, i.ttl, i.fields, i.run_id, i.thread_id, i.version, i.created_at, i.updated_at,
    i.expires_at, e.name, x.hashes, x.vectors, o.reason
FROM clew_items i JOIN clew_namespaces n ON n.id = i.namespace
LEFT JOIN clew_item_index x ON x.id = i.id LEFT JOIN clew_embedders e ON e.id = x.model
LEFT JOIN clew_item_outbox o ON o.id = i.id
WHERE i.id > %s ORDER BY i.id LIMIT %s
"""
_PAST = """
SELECT min(v.id), n.path, v.key FROM clew_item_versions v JOIN clew_namespaces n ON n.id = v.namespace
WHERE NOT EXISTS (SELECT 1 FROM clew_items i WHERE i.namespace = v.namespace AND i.key = v.key)
GROUP BY n.path, v.key HAVING min(v.id) > %s ORDER BY 1 LIMIT %s
"""
_LOCK = "SELECT clew_lock_namespaces(%(paths)s::bytea[], %(made)s::bytea[])"
_TAKE_IN = """
INSERT INTO clew_items (id, namespace, key, value, created_at, updated_at, ttl, expires_at, version, fields, run_id,
    thread_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_TAKE_IN_VERSION = """
INSERT INTO clew_item_versions (namespace, key, version, value, created_at, updated_at, fields, run_id, thread_id,
    ended_at, ended, ended_run_id, ended_thread_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_THERE = """
SELECT EXISTS (SELECT 1 FROM clew_items WHERE namespace = %(space)s AND key = %(key)s)
    OR EXISTS (SELECT 1 FROM clew_item_versions WHERE namespace = %(space)s AND key = %(key)s)
"""


class PostgresMover:
    """The engine's side of moving memories; see Mover."""

    def all_namespaces(self, state: psycopg.Connection) -> list[Namespace]:
        return [decode(path) for (path,) in rows(state, "SELECT path FROM clew_namespaces ORDER BY path")]

    def forget_writers(self, state: psycopg.Connection, thread_ids: Sequence[str]) -> None:
        for table, of in (("clew_items", ""), ("clew_item_versions", ""), ("clew_item_versions", "ended_")):
            change(
                state,
                f"UPDATE {table} SET {of}run_id = NULL, {of}thread_id = NULL WHERE {of}thread_id = ANY (%s)",
                (list(thread_ids),),
            )

    def memories(self, state: psycopg.Connection, after: int, limit: int, *, past: bool) -> list[Memory]:
        return [_memory(state, row) for row in rows(state, _PAST if past else _ITEMS, (after, limit))]

    def take_in(self, state: psycopg.Connection, memories: Sequence[Memory], *, skip: bool) -> int:
        paths = [encode(memory.namespace) for memory in memories]
        rows(state, _LOCK, {"paths": paths, "made": []})
        return sum(_take_in(state, memory, skip) for memory in memories)


def _memory(connection: psycopg.Connection, row: tuple[Any, ...]) -> Memory:
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


def _take_in(connection: psycopg.Connection, memory: Memory, skip: bool) -> int:
    path = encode(memory.namespace)
    rows(connection, _LOCK, {"paths": [path], "made": [path]})  # made in the order of the memories
    find = "SELECT id, next_sequence FROM clew_namespaces WHERE path = %s"
    [(space, sequence)] = rows(connection, find, (path,))
    if rows(connection, _THERE, {"space": space, "key": memory.key})[0][0]:
        if skip:
            return 0
        raise Conflict(f"there is a memory {memory.key!r} in {memory.namespace!r} already")
    if memory.item is not None:
        _insert(connection, memory.item, space << SEQUENCE_BITS | sequence)
        change(connection, "UPDATE clew_namespaces SET next_sequence = %s WHERE id = %s", (sequence + 1, space))
    for version in memory.versions:
        _, key, number, value, created_us, updated_us, fields, *rest = version
        kept = value.decode() if isinstance(value, bytes) else value
        change(
            connection,
            _TAKE_IN_VERSION,
            (space, key, number, kept, created_us, updated_us, fields_text(fields), *rest),
        )
    return 1


def _insert(connection: psycopg.Connection, item: Current, id: int) -> None:
    write = item.write
    writer = (write.writer.run_id, write.writer.thread_id) if write.writer else (None, None)
    change(
        connection,
        _TAKE_IN,
        (
            id, id >> SEQUENCE_BITS, write.key, (write.value or b"").decode(), item.created_us, item.updated_us,
            write.ttl_us, item.expires_us, item.version, fields_text(write.fields), *writer,
        ),
    )  # fmt: skip
    keep_index(connection, id, write.words, write.marks, write.vectors, write.waiting, 0)
