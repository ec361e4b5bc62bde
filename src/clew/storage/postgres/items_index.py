"""What PostgreSQL keeps for searches: words, marks and vectors; what waits for vectors, and indexing anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import json

from clew.storage.postgres.items import BELOW, below, columns_of, fields_text, lock_spaces
from clew.storage.postgres.statements import change, rows
from clew.store.namespaces import encode
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

if TYPE_CHECKING:
    import psycopg

_DIMS = "octet_length(x.vectors) * 4 / octet_length(x.hashes)"  # of an item with vectors; reads none of them


def keep_index(
    connection: psycopg.Connection,
    item_id: int,
    words: bytes,
    marks: bytes,
    vectors: Vectors | None,
    waiting: str | None,
    now_us: int,
) -> None:
    """Keep what is indexed of an item instead of what was, and the reason for which it waits for its vectors."""
    rows(
        connection,
        "SELECT clew_index_item(%s, %s::bytea, %s::bytea, %s::text, %s::bytea, %s::bytea, %s::bytea, %s::text, "
        "%s::text, %s)",
        (item_id, words, marks, *columns_of(vectors), waiting, now_us),
    )


def find_model(connection: psycopg.Connection, name: str) -> int | None:
    """Give the number of an embedder; None when it made nothing that is kept here."""
    found = rows(connection, "SELECT id FROM clew_embedders WHERE name = %s", (name,))
    return found[0][0] if found else None


def other_models(connection: psycopg.Connection, model: str, dims: int | None) -> list[str]:
    """Give the names of embedders, other than that of this model and length, whose vectors may be kept."""
    one_of_each = f"SELECT {_DIMS} FROM clew_item_index x WHERE x.model = e.id LIMIT 1"
    embedders = rows(connection, f"SELECT e.name, ({one_of_each}) FROM clew_embedders e")
    return other_names([(name, length) for name, length in embedders if length is not None], model, dims)


def forget_models(connection: psycopg.Connection) -> None:
    """Forget the embedders of whom no vector is kept."""
    change(connection, "LOCK TABLE clew_embedders IN EXCLUSIVE MODE")  # until what is under way is committed
    change(
        connection,
        "DELETE FROM clew_embedders WHERE id NOT IN (SELECT model FROM clew_item_index WHERE model IS NOT NULL)",
    )


def waiting(connection: psycopg.Connection, limit: int, model: str, dims: int | None, now_us: int) -> list[Waiting]:
    """See Keeper.waiting."""
    found = rows(
        connection,
        "SELECT i.id, i.version, i.value, i.fields, o.attempts FROM clew_item_outbox o JOIN clew_items i USING (id) "
        "LEFT JOIN clew_item_index x USING (id) LEFT JOIN clew_embedders e ON e.id = x.model "
        f"WHERE o.due_at <= %s AND (e.name = %s AND {_DIMS} = %s) IS NOT TRUE ORDER BY o.due_at, i.id LIMIT %s",
        (now_us, model, dims, limit),
    )
    return [
        Waiting(id=item_id, version=version, value=value, fields=fields_of(fields), attempts=attempts)
        for item_id, version, value, fields, attempts in found
    ]


def written(connection: psycopg.Connection, writes: Sequence[PreparedWrite]) -> list[Written | None]:
    """Give the item of each write that has been applied and waits for its vectors; None: it was changed since."""
    found = rows(
        connection,
        "SELECT w.place, i.id, i.version FROM unnest(%s::bytea[], %s::text[], %s::text[], %s::text[]) "
        "WITH ORDINALITY AS w (path, key, value, fields, place) JOIN clew_namespaces n ON n.path = w.path "
        "JOIN clew_items i ON i.namespace = n.id AND i.key = w.key JOIN clew_item_outbox o ON o.id = i.id "
        "WHERE i.value = w.value AND i.fields IS NOT DISTINCT FROM w.fields",
        (
            [encode(write.namespace) for write in writes], [write.key for write in writes],
            [(write.value or b"").decode() for write in writes], [fields_text(write.fields) for write in writes],
        ),
    )  # fmt: skip
    items = {place: Written(item_id, version) for place, item_id, version in found}
    return [items.get(place) for place in range(1, len(writes) + 1)]


def set_vectors(connection: psycopg.Connection, worked: Sequence[Worked], now_us: int) -> None:
    """Keep vectors, or the next failure, of items that have not changed since."""
    lock_spaces(connection, [one.id for one in worked])
    for one in worked:
        if not _is_unchanged(connection, one.id, one.version):
            continue
        if one.vectors is None and one.reason:
            change(
                connection,
                "UPDATE clew_item_outbox SET reason = %s, attempts = attempts + 1, due_at = %s WHERE id = %s",
                (one.reason, now_us + one.again_in_s * 1_000_000, one.id),
            )
            continue
        if one.vectors is not None:
            rows(
                connection,
                "SELECT clew_keep_vectors(%s, %s, %s::bytea, %s::bytea, %s::bytea, %s)",
                (one.id, *columns_of(one.vectors)),
            )
        change(connection, "DELETE FROM clew_item_outbox WHERE id = %s", (one.id,))


def indexed(connection: psycopg.Connection, after: int, limit: int) -> list[Indexed]:
    """Give items by id, above `after`, with what is indexed of them."""
    found = rows(
        connection,
        "SELECT i.id, i.version, i.value, i.fields, length(x.words), e.name, x.hashes, x.vectors FROM clew_items i "
        "JOIN clew_item_index x USING (id) LEFT JOIN clew_embedders e ON e.id = x.model "
        "WHERE i.id > %s ORDER BY i.id LIMIT %s",
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
        for item_id, version, value, fields, size, model, hashes, data in found
    ]


def reindex(connection: psycopg.Connection, anew: Sequence[Reindexed], now_us: int) -> None:
    """Index items anew that have not changed since."""
    lock_spaces(connection, [one.id for one in anew])
    for one in anew:
        if _is_unchanged(connection, one.id, one.version):
            keep_index(connection, one.id, one.words, one.marks, one.vectors, one.waiting, now_us)


def index_status(connection: psycopg.Connection, model: str, dims: int | None) -> IndexStatus:
    """Say how many items are indexed, and what waits and why."""
    [(count,)] = rows(connection, "SELECT count(*) FROM clew_items")
    counted = rows(
        connection,
        f"SELECT e.name, {_DIMS}, count(*) FROM clew_item_index x JOIN clew_embedders e ON e.id = x.model "
        "GROUP BY 1, 2",
    )
    by_embedder = {(name, length): number for name, length, number in counted}
    reasons: dict[str, int] = dict(rows(connection, "SELECT reason, count(*) FROM clew_item_outbox GROUP BY reason"))
    return status_of(count, by_embedder, reasons, model, dims)


def count_embedded(connection: psycopg.Connection, prefix: Namespace) -> int:
    """Count the items at or below the prefix that have vectors."""
    [(count,)] = rows(
        connection,
        "SELECT count(*) FROM clew_namespaces n JOIN clew_item_index x ON x.namespace = n.id "
        f"WHERE x.model IS NOT NULL AND {BELOW}",
        below(prefix),
    )
    return int(count)


def _is_unchanged(connection: psycopg.Connection, item_id: int, version: int) -> bool:
    return bool(rows(connection, "SELECT 1 FROM clew_items WHERE id = %s AND version = %s", (item_id, version)))


def fields_of(kept: Any) -> tuple[str, ...] | None:
    """Read an item's paths as they are kept."""
    return None if kept is None else tuple(json.decode(kept, type=list[str]))
