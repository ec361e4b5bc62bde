"""Memories in PostgreSQL: writing them, and reading them one by one. See items_search for queries.

Functions of an open connection; who opens the transaction decides what is committed together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import json

from clew.errors import ClewError, InvalidValue, Unavailable, VersionConflict
from clew.storage.postgres.calls import BIG, BYTES, INT, TEXT, Call, Found, Function
from clew.storage.postgres.exchanging import carry_out
from clew.storage.postgres.failing import OTHER_VERSION
from clew.storage.postgres.halves import halves_text
from clew.storage.postgres.sessions import prepared
from clew.storage.postgres.statements import change, rows
from clew.store.clock import utc_now
from clew.store.expiry import to_us
from clew.store.namespaces import decode, encode, path_range
from clew.store.operations import Namespace
from clew.store.planning import PreparedWrite, Vectors
from clew.store.search import Stored

if TYPE_CHECKING:
    import psycopg

COLUMNS = "i.id, n.path, i.key, i.value, i.created_at, i.updated_at, i.ttl, i.version"
JOINED = "clew_items i JOIN clew_namespaces n ON n.id = i.namespace"
BELOW = "n.path >= %(start)s AND n.path < %(end)s"
LIVE = "(i.expires_at IS NULL OR i.expires_at > %(now)s)"

_TOO_LONG = "54000"  # program_limit_exceeded
_COLUMNS_OF_WRITE = (
    BYTES, TEXT, TEXT, BIG, INT, TEXT, BYTES, BYTES, TEXT, BYTES, BYTES, BYTES, TEXT, TEXT, INT, TEXT, TEXT, BIG, BIG,
)  # fmt: skip
_GET = Function(
    "clew_get_items", (BIG, BYTES, TEXT, BIG), place=0, gives=(BIG, BIG, BYTES, TEXT, TEXT, BIG, BIG, BIG, INT)
)
_WRITE = Function("clew_write_items", _COLUMNS_OF_WRITE, place=6)


def below(prefix: Namespace) -> dict[str, bytes]:
    """Give the parameters of BELOW."""
    start, end = path_range(prefix)
    return {"start": start, "end": end}


def write_rows(writes: Sequence[PreparedWrite], now: datetime | None = None) -> dict[Function, list[tuple[Any, ...]]]:
    """Give what a Call takes that applies writes in order; `now` is the time if left out."""
    now_us = to_us(now or utc_now())
    # Each write of a transaction has a microsecond of its own, so that newest first is their order.
    return {_WRITE: [_row(write, now_us, now_us + place) for place, write in enumerate(writes)]} if writes else {}


def refused_write(writes: Sequence[PreparedWrite], error: psycopg.Error) -> ClewError | None:
    """Give what it means that the database refuses writes."""
    if error.sqlstate == _TOO_LONG:
        return InvalidValue(
            "a key or a namespace is too long for an index of PostgreSQL, which keeps 2,704 bytes of it, compressed: "
            f"keep it in the value ({error.diag.message_primary})"
        )
    if error.sqlstate != OTHER_VERSION:
        return None
    place, version = map(int, (error.diag.message_detail or "0 0").split())
    write = writes[place]
    return VersionConflict(
        f"item {write.key!r} of {write.namespace!r} is of version {version}, not {write.if_version}: "
        "another writer was first; read it again"
    )


def apply_writes(connection: psycopg.Connection, writes: Sequence[PreparedWrite], now: datetime | None = None) -> None:
    """Apply writes in order, inside a transaction that the caller has open; `now` is the time if left out.

    Raises:
        VersionConflict: an item is of another version than the write demands.
        InvalidValue: a key or a namespace is too long.
    """
    if writes:
        carry_out(connection, write_call(writes, now))


def write_call(writes: Sequence[PreparedWrite], now: datetime | None = None) -> Call[None]:
    """Give the call that applies writes in order, at least one."""
    return Call(write_rows(writes, now), lambda found: None, partial(refused_write, writes), _not_known)


def _not_known(connection: psycopg.Connection) -> None:
    raise Unavailable("the connection was lost while memories were written; look whether they were kept")


def lock_below(connection: psycopg.Connection, prefix: Namespace) -> None:
    """Let nobody else write to the namespaces at or below a prefix that are there."""
    rows(connection, f"SELECT 1 FROM clew_namespaces n WHERE {BELOW} ORDER BY path FOR NO KEY UPDATE", below(prefix))


def lock_spaces(connection: psycopg.Connection, ids: Sequence[int]) -> None:
    """Let nobody else write to the namespaces of some items."""
    rows(
        connection,
        "SELECT 1 FROM clew_namespaces WHERE id IN (SELECT (id >> 32)::integer FROM unnest(%s::bigint[]) id) "
        "ORDER BY path FOR NO KEY UPDATE",
        (list(ids),),
    )


def delete_whole(connection: psycopg.Connection, ids: Sequence[int], now_us: int, keeps: int) -> int:
    """Delete items of locked namespaces, and the namespaces that nothing is left of; give their number."""
    if keeps:
        rows(
            connection,
            "SELECT clew_keep_versions(%(ids)s::bigint[], %(now)s, %(now)s, 'deleted', NULL, NULL)",
            {"ids": list(ids), "now": now_us},
        )
        rows(
            connection,
            "SELECT clew_trim_versions(namespace, key, version - %(keeps)s) FROM clew_items "
            "WHERE id = ANY (%(ids)s::bigint[]) AND version > %(keeps)s",
            {"ids": list(ids), "keeps": keeps},
        )
    delete_items(connection, ids)
    spaces = sorted({item_id >> 32 for item_id in ids})
    rows(connection, "SELECT clew_forget_empty(%s::integer[])", (spaces,))
    return len(ids)


def delete_items(connection: psycopg.Connection, ids: Sequence[int]) -> None:
    """Delete items by id with all that is kept of them; their namespaces stay."""
    rows(connection, "SELECT clew_delete_items(%s::bigint[])", (list(ids),))


def ids_below(connection: psycopg.Connection, prefix: Namespace) -> list[int]:
    """Give the ids of everything at or below the prefix, expired items included."""
    return [row[0] for row in rows(connection, f"SELECT i.id FROM {JOINED} WHERE {BELOW}", below(prefix))]


def ids_expired(connection: psycopg.Connection, now_us: int) -> list[int]:
    """Give the ids of everything that has expired, of namespaces that are locked thereby."""
    expired = "SELECT id FROM clew_items WHERE expires_at <= %s"
    lock_spaces(connection, found := [row[0] for row in rows(connection, expired, (now_us,))])
    expired += " AND id = ANY (%s)"  # again: who had the lock before may have put one anew
    return [row[0] for row in rows(connection, expired, (now_us, found))]


def find_item(connection: psycopg.Connection, namespace: Namespace, key: str, now_us: int) -> Stored | None:
    """Give one item that has not expired."""

    def stored(found: Mapping[Function, Found]) -> Stored | None:
        row = found[_GET].get(0)
        return None if row is None else Stored.of(row)

    return carry_out(connection, Call({_GET: [(0, encode(namespace), key, now_us)]}, stored), "", prepared(connection))


def refresh_items(connection: psycopg.Connection, places: Sequence[tuple[Namespace, str]], now_us: int) -> None:
    """Give items their whole ttl again."""
    paths, keys = [encode(namespace) for namespace, _ in places], [key for _, key in places]
    # Shared, so that reads do not wait for each other; whoever writes waits for them, and they for a writer.
    rows(
        connection,
        "SELECT 1 FROM clew_namespaces WHERE path = ANY (%s::bytea[]) ORDER BY path FOR SHARE",
        (paths,),
    )
    change(
        connection,
        "WITH ending AS MATERIALIZED (SELECT i.id FROM unnest(%(paths)s::bytea[], %(keys)s::text[]) AS p (path, key) "
        "JOIN clew_namespaces n ON n.path = p.path JOIN clew_items i ON i.namespace = n.id AND i.key = p.key "
        "WHERE i.expires_at > %(now)s ORDER BY i.id FOR NO KEY UPDATE OF i) "
        "UPDATE clew_items SET expires_at = %(now)s + ttl WHERE id IN (SELECT id FROM ending)",
        {"paths": paths, "keys": keys, "now": now_us},
    )


def held_namespaces(
    connection: psycopg.Connection, paths: tuple[bytes, bytes], now_us: int, most: int
) -> Iterator[Namespace]:
    """Give the namespaces in a range of paths with an item that has not expired, sorted.

    Args:
        most: how many are read at once.
    """
    start, end = paths
    while True:
        found = rows(
            connection,
            f"SELECT n.path FROM clew_namespaces n WHERE {BELOW} AND EXISTS "
            f"(SELECT 1 FROM clew_items i WHERE i.namespace = n.id AND {LIVE}) ORDER BY n.path LIMIT %(most)s",
            {"start": start, "end": end, "now": now_us, "most": most},
        )
        yield from (decode(row[0]) for row in found)
        if len(found) < most:
            return
        start, most = found[-1][0] + b"\0", 2 * most


def _row(write: PreparedWrite, now_us: int, moment_us: int) -> tuple[Any, ...]:
    writer = (write.writer.run_id, write.writer.thread_id) if write.writer else (None, None)
    return (
        encode(write.namespace), write.key, None if write.value is None else write.value.decode(), write.ttl_us,
        write.if_version, fields_text(write.fields), write.words, write.marks, *columns_of(write.vectors),
        write.waiting, write.keeps, *writer, now_us, moment_us,
    )  # fmt: skip


def columns_of(vectors: Vectors | None) -> tuple[str | None, bytes | None, bytes | None, bytes | None, str | None]:
    """Give an item's vectors as they are kept: model, codes, hashes, vectors, halves."""
    if vectors is None:
        return None, None, None, None, None
    return vectors.model, vectors.codes, vectors.hashes, vectors.data, halves_text(vectors.data, vectors.dims)


def fields_text(fields: Sequence[str] | None) -> str | None:
    """Give an item's paths as they are kept."""
    return None if fields is None else json.encode(fields).decode()
