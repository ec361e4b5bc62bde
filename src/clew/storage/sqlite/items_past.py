"""Old versions of memories in SQLite: keeping them, reading them, forgetting them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from clew.engine.records import run_of
from clew.storage.sqlite.items_index import fields_of
from clew.storage.sqlite.packing import short_id
from clew.store.history import Moment, Version
from clew.store.namespaces import decode, path_range
from clew.store.operations import Ended, Namespace, Writer

_KEPT = "namespace, key, version, value, created_at, updated_at, fields, run_id, thread_id"
# What had expired before ended then; what is replaced at once lasted a microsecond.
_KEEP = f"""
INSERT OR REPLACE INTO clew_item_versions ({_KEPT}, ended_at, ended, ended_run_id, ended_thread_id)
SELECT {_KEPT}, CASE WHEN expires_at <= :now THEN expires_at ELSE max(:moment, updated_at + 1) END,
    CASE WHEN expires_at <= :now THEN 'expired' ELSE :ended END,
    CASE WHEN expires_at <= :now THEN NULL ELSE :run_id END,
    CASE WHEN expires_at <= :now THEN NULL ELSE :thread_id END
FROM clew_items WHERE """
_SHOWN = "n.path, v.key, v.version, v.value, v.created_at, v.updated_at, v.fields, v.run_id, v.thread_id"


def keep_version(
    connection: sqlite3.Connection, item_id: int, ended: Ended, now_us: int, moment_us: int, writer: Writer | None
) -> None:
    """Keep the value of an item that is about to be replaced or deleted."""
    by = {"run_id": writer and writer.run_id, "thread_id": writer and writer.thread_id}
    connection.execute(_KEEP + "id = :id", {"id": item_id, "now": now_us, "moment": moment_us, "ended": ended, **by})


def keep_versions(connection: sqlite3.Connection, ids: Sequence[int], now_us: int) -> None:
    """Keep the values of items that are about to be deleted by nobody's run."""
    same = {"now": now_us, "moment": now_us, "ended": "deleted", "run_id": None, "thread_id": None}
    connection.executemany(_KEEP + "id = :id", [{"id": item_id, **same} for item_id in ids])


def trim(connection: sqlite3.Connection, namespace: int, key: str, last: int) -> None:
    """Forget the versions of a key up to the last one named; the row of version 0 then stands for them."""
    place = {"namespace": namespace, "key": key, "last": last}
    forgotten = "namespace = :namespace AND key = :key AND version <= :last"
    connection.execute(
        f"DELETE FROM clew_item_versions WHERE {forgotten} "
        f"AND version < (SELECT max(version) FROM clew_item_versions WHERE {forgotten})",
        place,
    )
    connection.execute(
        "UPDATE clew_item_versions SET version = 0, value = NULL, created_at = 0, updated_at = 0, fields = NULL, "
        f"run_id = NULL, thread_id = NULL WHERE {forgotten}",
        place,
    )


def versions(
    connection: sqlite3.Connection, prefix: Namespace, key: str | None, moment: Moment | None
) -> Iterator[Version]:
    """Give versions, the current ones among them; see Keeper."""
    start, end = path_range(prefix)
    values: dict[str, Any] = {"start": start, "end": end, "key": key}
    where = "n.path >= :start AND n.path < :end"
    if key is not None:
        where = "n.path = :start AND v.key = :key"
    current, old = where, where
    if moment is not None:
        values |= {"at": moment.us, "run_id": moment.run_id}
        current += " AND (v.created_at <= :at OR v.run_id = :run_id)"
        old += " AND (v.updated_at <= :at AND v.ended_at > :at OR v.run_id = :run_id OR v.ended_run_id = :run_id)"
    rows = connection.execute(
        f"SELECT {_SHOWN}, v.expires_at, 'expired', NULL, NULL "
        f"FROM clew_items v JOIN clew_namespaces n ON n.id = v.namespace WHERE {current} "
        f"UNION ALL SELECT {_SHOWN}, v.ended_at, v.ended, v.ended_run_id, v.ended_thread_id "
        f"FROM clew_item_versions v JOIN clew_namespaces n ON n.id = v.namespace WHERE {old}",
        values,
    )
    return map(_version, rows)


def forget(connection: sqlite3.Connection, before_us: int) -> None:
    """Remove the versions that ended by then, and the namespaces that nothing is left of.

    It stops at the first one that is to stay, so that no index is needed: what expired long before it was replaced may
    stay a while longer, and nobody sees it.
    """
    row = connection.execute(
        "SELECT id FROM clew_item_versions WHERE ended_at > ? ORDER BY id LIMIT 1", (before_us,)
    ).fetchone()
    stays = row[0] if row else 2**63 - 1
    spaces = connection.execute("SELECT DISTINCT namespace FROM clew_item_versions WHERE id < ?", (stays,)).fetchall()
    connection.execute("DELETE FROM clew_item_versions WHERE id < ?", (stays,))
    forget_empty(connection, [space for (space,) in spaces])


def count_versions(connection: sqlite3.Connection, prefix: Namespace) -> int:
    """Count the old versions of everything at or below the prefix."""
    row = connection.execute(
        "SELECT count(v.value) FROM clew_item_versions v JOIN clew_namespaces n ON n.id = v.namespace "
        "WHERE n.path >= ? AND n.path < ?",
        path_range(prefix),
    ).fetchone()
    return int(row[0])


def erase(connection: sqlite3.Connection, prefix: Namespace) -> None:
    """Remove the versions, and the namespaces, at or below the prefix; the items are gone already."""
    below = "SELECT id FROM clew_namespaces WHERE path >= ? AND path < ?"
    connection.execute(f"DELETE FROM clew_item_versions WHERE namespace IN ({below})", path_range(prefix))
    connection.execute("DELETE FROM clew_namespaces WHERE path >= ? AND path < ?", path_range(prefix))


def forget_empty(connection: sqlite3.Connection, spaces: Sequence[int]) -> None:
    """Remove those of some namespaces that hold neither items nor versions."""
    connection.executemany(
        "DELETE FROM clew_namespaces WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM clew_items WHERE namespace = ?1) "
        "AND NOT EXISTS (SELECT 1 FROM clew_item_versions WHERE namespace = ?1)",
        [(space,) for space in spaces],
    )


def made_at_us(connection: sqlite3.Connection, checkpoint_id: str) -> int | None:
    """Say when a checkpoint was made."""
    run_id, at_end = run_of(checkpoint_id)
    column = "ended_s" if at_end else "created_s"
    row = connection.execute(f"SELECT {column} FROM clew_runs WHERE run_id = ?", (short_id(run_id),)).fetchone()
    return None if row is None or row[0] is None else round(row[0] * 1_000_000)


def _version(row: Sequence[Any]) -> Version:
    path, key, version, value, created_us, updated_us, fields, *rest = row
    return Version(decode(path), key, version, value, created_us, updated_us, fields_of(fields), *rest)
