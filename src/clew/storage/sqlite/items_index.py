"""What SQLite keeps for searches: words, marks and vectors; what waits for vectors, and indexing anew."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from msgspec import json

from clew.errors import UnreadableRecord
from clew.storage.sqlite.items_packs import keep_full_pack, keep_packs
from clew.store.namespaces import encode, path_range
from clew.store.operations import Namespace
from clew.store.outbox import (
    TERM_BYTES,
    Indexed,
    IndexStatus,
    Reindexed,
    Waiting,
    Worked,
    Written,
    other_names,
    status_of,
)
from clew.store.planning import PreparedWrite, Vectors


def keep_index(
    connection: sqlite3.Connection, item_id: int, words: bytes, marks: bytes, vectors: Vectors | None
) -> None:
    """Keep what is indexed of an item instead of what was."""
    model = _make_model(connection, vectors) if vectors else None
    connection.execute(
        "INSERT OR REPLACE INTO clew_item_index VALUES (?, ?, ?, ?, ?)",
        (item_id, words, marks, model, vectors and vectors.codes),
    )
    _keep_vectors(connection, item_id, vectors)


def add_index(
    connection: sqlite3.Connection, item_id: int, words: bytes, marks: bytes, vectors: Vectors | None
) -> None:
    """Keep what is indexed of a new item."""
    model = _make_model(connection, vectors) if vectors else None
    connection.execute(
        "INSERT INTO clew_item_index VALUES (?, ?, ?, ?, ?)", (item_id, words, marks, model, vectors and vectors.codes)
    )
    if vectors is not None:
        _keep_vectors(connection, item_id, vectors)


def keep_waiting(connection: sqlite3.Connection, item_id: int, reason: str | None, now_us: int) -> None:
    """Keep the reason for which an item waits for its vectors; None: it does not wait."""
    if reason is None:
        connection.execute("DELETE FROM clew_item_outbox WHERE id = ?", (item_id,))
    else:
        connection.execute("INSERT OR REPLACE INTO clew_item_outbox VALUES (?, ?, 0, ?)", (item_id, reason, now_us))


def find_model(connection: sqlite3.Connection, name: str, dims: int) -> int | None:
    """Give the number of an embedder and a length; None when nothing of both is kept here."""
    row = connection.execute("SELECT id FROM clew_embedders WHERE name = ? AND dims = ?", (name, dims)).fetchone()
    return row[0] if row else None


def has_embedders(connection: sqlite3.Connection) -> bool:
    """Say whether any embedder's vectors are kept here."""
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM clew_embedders)").fetchone()[0])


def other_models(connection: sqlite3.Connection, model: str, dims: int | None) -> list[str]:
    """Give the names of embedders, other than that of this model and length, whose vectors may be kept."""
    return other_names(connection.execute("SELECT name, dims FROM clew_embedders"), model, dims)


def forget_models(connection: sqlite3.Connection) -> None:
    """Forget the embedders of whom no vector is kept."""
    connection.execute(
        "DELETE FROM clew_embedders WHERE id NOT IN (SELECT model FROM clew_item_index WHERE model IS NOT NULL)"
    )


def waiting(connection: sqlite3.Connection, limit: int, model: str, dims: int | None, now_us: int) -> list[Waiting]:
    """See Keeper.waiting."""
    rows = connection.execute(
        "SELECT i.id, i.version, i.value, i.fields, o.attempts FROM clew_item_outbox o JOIN clew_items i USING (id) "
        "LEFT JOIN clew_item_index x USING (id) WHERE o.due_at <= ? "
        "AND x.model IS NOT coalesce((SELECT id FROM clew_embedders WHERE name = ? AND dims = ?), 0) "
        "ORDER BY o.due_at, i.id LIMIT ?",
        (now_us, model, dims, limit),
    )
    return [
        Waiting(id=item_id, version=version, value=value, fields=fields_of(fields), attempts=attempts)
        for item_id, version, value, fields, attempts in rows
    ]


def written(connection: sqlite3.Connection, writes: Sequence[PreparedWrite]) -> list[Written | None]:
    """Give the item of each write that has been applied and waits for its vectors; None: it was changed since."""
    return [_written(connection, write) for write in writes]


def _written(connection: sqlite3.Connection, write: PreparedWrite) -> Written | None:
    row = connection.execute(
        "SELECT i.id, i.version FROM clew_items i JOIN clew_item_outbox o USING (id) "
        "WHERE i.namespace = (SELECT id FROM clew_namespaces WHERE path = ?) AND i.key = ? AND i.value = ? "
        "AND i.fields IS ?",
        (encode(write.namespace), write.key, (write.value or b"").decode(), fields_text(write.fields)),
    ).fetchone()
    return None if row is None else Written(*row)


def set_vectors(connection: sqlite3.Connection, worked: Sequence[Worked], now_us: int) -> None:
    """Keep vectors, or the next failure, of items that have not changed since."""
    for one in worked:
        if not _is_unchanged(connection, one.id, one.version):
            continue
        if one.vectors is None and one.reason:
            connection.execute(
                "UPDATE clew_item_outbox SET reason = ?, attempts = attempts + 1, due_at = ? WHERE id = ?",
                (one.reason, now_us + one.again_in_s * 1_000_000, one.id),
            )
            continue
        if one.vectors is not None:
            connection.execute(
                "UPDATE clew_item_index SET model = ?, codes = ? WHERE id = ?",
                (_make_model(connection, one.vectors), one.vectors.codes, one.id),
            )
            _keep_vectors(connection, one.id, one.vectors)
        keep_waiting(connection, one.id, None, now_us)
        keep_full_pack(connection, one.id)


def indexed(connection: sqlite3.Connection, after: int, limit: int) -> list[Indexed]:
    """Give items by id, above `after`, with what is indexed of them."""
    rows = connection.execute(
        "SELECT i.id, i.version, i.value, i.fields, length(x.words), e.name, v.hashes, v.vectors FROM clew_items i "
        "JOIN clew_item_index x USING (id) LEFT JOIN clew_embedders e ON e.id = x.model "
        "LEFT JOIN clew_item_vectors v USING (id) "
        "WHERE i.id > ? ORDER BY i.id LIMIT ?",
        (after, limit),
    )
    return [
        Indexed(
            id=item_id,
            version=version,
            value=value,
            fields=fields_of(fields),
            terms=size // TERM_BYTES,
            vectors=Vectors(model=model, hashes=hashes, data=data) if model is not None else None,
        )
        for item_id, version, value, fields, size, model, hashes, data in rows
    ]


def reindex(connection: sqlite3.Connection, anew: Sequence[Reindexed], now_us: int) -> None:
    """Index items anew that have not changed since."""
    for one in anew:
        if _is_unchanged(connection, one.id, one.version):
            keep_index(connection, one.id, one.words, one.marks, one.vectors)
            keep_waiting(connection, one.id, one.waiting, now_us)
    keep_packs(connection, [one.id for one in anew])


def index_status(connection: sqlite3.Connection, model: str, dims: int | None) -> IndexStatus:
    """Say how many items are indexed, and what waits and why."""
    count = connection.execute("SELECT count(*) FROM clew_items").fetchone()[0]
    counted = connection.execute(
        "SELECT e.name, e.dims, count(*) FROM clew_item_index x JOIN clew_embedders e ON e.id = x.model GROUP BY e.id"
    )
    by_embedder = {(name, length): number for name, length, number in counted}
    reasons: dict[str, int] = dict(
        connection.execute("SELECT reason, count(*) FROM clew_item_outbox GROUP BY reason").fetchall()
    )
    return status_of(count, by_embedder, reasons, model, dims)


def count_embedded(connection: sqlite3.Connection, prefix: Namespace) -> int:
    """Count the items at or below the prefix that have vectors."""
    row = connection.execute(
        "SELECT count(*) FROM clew_item_index x JOIN clew_items i USING (id) "
        "JOIN clew_namespaces n ON n.id = i.namespace WHERE x.model IS NOT NULL AND n.path >= ? AND n.path < ?",
        path_range(prefix),
    ).fetchone()
    return int(row[0])


def _keep_vectors(connection: sqlite3.Connection, item_id: int, vectors: Vectors | None) -> None:
    if vectors is None:
        connection.execute("DELETE FROM clew_item_vectors WHERE id = ?", (item_id,))
    else:
        kept = (item_id, vectors.hashes, vectors.data)
        connection.execute("INSERT OR REPLACE INTO clew_item_vectors VALUES (?, ?, ?)", kept)


def _make_model(connection: sqlite3.Connection, vectors: Vectors) -> int:
    model = find_model(connection, vectors.model, vectors.dims)
    if model is None:
        made = (vectors.model, vectors.dims)
        model = connection.execute("INSERT INTO clew_embedders (name, dims) VALUES (?, ?)", made).lastrowid
        assert model is not None
    return model


def _is_unchanged(connection: sqlite3.Connection, item_id: int, version: int) -> bool:
    found = connection.execute("SELECT 1 FROM clew_items WHERE id = ? AND version = ?", (item_id, version))
    return found.fetchone() is not None


def fields_text(fields: Sequence[str] | None) -> str | None:
    """Give an item's paths as they are kept."""
    return None if fields is None else json.encode(fields).decode()


def fields_of(kept: Any) -> tuple[str, ...] | None:
    """Read an item's paths as they are kept.

    Raises:
        UnreadableRecord: they are no list of text.
    """
    try:
        return None if kept is None else tuple(json.decode(kept, type=list[str]))
    except ValueError as error:
        raise UnreadableRecord(f"the paths that are indexed of a memory are damaged: {kept!r:.60}") from error
