"""Old versions of memories in PostgreSQL: reading them, forgetting them. They are kept by schema/0005_items.sql."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from clew.engine.records import run_of
from clew.storage.postgres.items import BELOW, below
from clew.storage.postgres.items_index import fields_of
from clew.storage.postgres.statements import change, rows
from clew.store.history import Moment, Version
from clew.store.namespaces import decode
from clew.store.operations import Namespace

if TYPE_CHECKING:
    import psycopg

_SHOWN = "n.path, v.key, v.version, v.value, v.created_at, v.updated_at, v.fields, v.run_id, v.thread_id"
_ENDED = "v.ended_at, v.ended, v.ended_run_id, v.ended_thread_id"
_SPACE = "JOIN clew_namespaces n ON n.id = v.namespace"


def versions(
    connection: psycopg.Connection, prefix: Namespace, key: str | None, moment: Moment | None
) -> Iterator[Version]:
    """Give versions, the current ones among them; see Keeper."""
    values: dict[str, Any] = {**below(prefix), "key": key}
    where = BELOW if key is None else "n.path = %(start)s AND v.key = %(key)s"
    current, old = where, where
    if moment is not None:
        values |= {"at": moment.us, "run_id": moment.run_id}
        current += " AND (v.created_at <= %(at)s OR v.run_id = %(run_id)s::text)"
        old += (
            " AND (v.updated_at <= %(at)s AND v.ended_at > %(at)s OR v.run_id = %(run_id)s::text "
            "OR v.ended_run_id = %(run_id)s::text)"
        )
    found = rows(
        connection,
        f"SELECT {_SHOWN}, v.expires_at, 'expired', NULL, NULL FROM clew_items v {_SPACE} WHERE {current} "
        f"UNION ALL SELECT {_SHOWN}, {_ENDED} FROM clew_item_versions v {_SPACE} WHERE {old}",
        values,
    )
    return map(_version, found)


def forget(connection: psycopg.Connection, before_us: int) -> None:
    """Remove the versions that ended by then, and the namespaces that nothing is left of.

    It stops at the first one that is to stay, so that no index is needed: what expired long before it was replaced may
    stay a while longer, and nobody sees it.
    """
    gone = (
        "id < (SELECT coalesce(min(id), 9223372036854775807) FROM "
        "(SELECT id FROM clew_item_versions WHERE ended_at > %(before)s ORDER BY id LIMIT 1) stays)"
    )
    found = rows(
        connection,
        "SELECT id FROM clew_namespaces WHERE id IN "
        f"(SELECT namespace FROM clew_item_versions WHERE {gone}) ORDER BY path FOR NO KEY UPDATE",
        {"before": before_us},
    )
    spaces = [space for (space,) in found]
    change(
        connection,
        f"DELETE FROM clew_item_versions WHERE {gone} AND ended_at <= %(before)s AND namespace = ANY (%(spaces)s)",
        {"before": before_us, "spaces": spaces},
    )
    rows(connection, "SELECT clew_forget_empty(%s::integer[])", (spaces,))


def count_versions(connection: psycopg.Connection, prefix: Namespace) -> int:
    """Count the old versions of everything at or below the prefix."""
    [(count,)] = rows(
        connection, f"SELECT count(v.value) FROM clew_item_versions v {_SPACE} WHERE {BELOW}", below(prefix)
    )
    return int(count)


def erase(connection: psycopg.Connection, prefix: Namespace) -> None:
    """Remove the versions, and the namespaces, at or below the prefix; the items are gone already."""
    spaces = [space for (space,) in rows(connection, f"SELECT id FROM clew_namespaces n WHERE {BELOW}", below(prefix))]
    change(connection, "DELETE FROM clew_item_versions WHERE namespace = ANY (%s)", (spaces,))
    rows(connection, "SELECT clew_forget_empty(%s::integer[])", (spaces,))


def made_at_us(connection: psycopg.Connection, checkpoint_id: str) -> int | None:
    """Say when a checkpoint was made."""
    run_id, at_end = run_of(checkpoint_id)
    column = "ended_s" if at_end else "created_s"
    found = rows(connection, f"SELECT {column} FROM clew_runs WHERE run_id = %s", (run_id,))
    return round(found[0][0] * 1_000_000) if found and found[0][0] is not None else None


def _version(row: Sequence[Any]) -> Version:
    path, key, version, value, created_us, updated_us, fields, *rest = row
    return Version(decode(path), key, version, value, created_us, updated_us, fields_of(fields), *rest)
