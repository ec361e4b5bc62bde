"""How many runs of a workflow may be under way, and begin: the SQL of it. One writer at a time makes it exact."""

from __future__ import annotations

import json
import sqlite3

from clew.engine.pacing import Limit, Use
from clew.storage.base import Begin, LoadUse


def check_limit(connection: sqlite3.Connection, thread: int, operation: Begin) -> None:
    """Refuse a run that its workflow's limit does not let in now; take note of one that it does.

    Raises:
        LimitReached: it does not.
    """
    limit, workflow, now_s = operation.limit, operation.thread.workflow, operation.now_s
    if limit is None:
        return
    if limit.concurrency is not None:
        (held,) = connection.execute(
            "SELECT count(*) FROM clew_threads WHERE owner IS NOT NULL AND until_s > ? AND workflow = ? AND id <> ? "
            "AND owner NOT IN (SELECT value FROM json_each(?))",
            (now_s, workflow, thread, json.dumps(list(operation.evicts))),
        ).fetchone()
        if held >= limit.concurrency:
            raise limit.reached(workflow)
    if limit.rate is not None:
        connection.execute(
            "DELETE FROM clew_begun WHERE workflow = ? AND begun_s <= ?", (workflow, now_s - limit.per_s)
        )
        until_s = _until_s(connection, workflow, limit)
        if until_s is not None:
            raise limit.reached(workflow, until_s)
        connection.execute("INSERT INTO clew_begun VALUES (?, ?)", (workflow, now_s))


def _until_s(connection: sqlite3.Connection, workflow: str, limit: Limit) -> float | None:
    """Return when the first of the last `limit.rate` beginnings counts no more; None if there were fewer."""
    first = connection.execute(
        "SELECT begun_s FROM clew_begun WHERE workflow = ? ORDER BY begun_s DESC LIMIT 1 OFFSET ?",
        (workflow, (limit.rate or 0) - 1),
    ).fetchone()
    return None if first is None else float(first[0]) + limit.per_s


def load_use(connection: sqlite3.Connection, operation: LoadUse) -> dict[str, Use]:
    return {name: _use(connection, name, limit, operation.now_s) for name, limit in operation.limits.items()}


def _use(connection: sqlite3.Connection, workflow: str, limit: Limit, now_s: float) -> Use:
    owners = connection.execute(
        "SELECT owner FROM clew_threads WHERE owner IS NOT NULL AND until_s > ? AND workflow = ?", (now_s, workflow)
    ).fetchall()
    (begun,) = connection.execute(
        "SELECT count(*) FROM clew_begun WHERE workflow = ? AND begun_s > ?", (workflow, now_s - limit.per_s)
    ).fetchone()
    is_full = limit.rate is not None and begun >= limit.rate
    return Use(
        owners=[owner for (owner,) in owners], begun=begun,
        until_s=_until_s(connection, workflow, limit) if is_full else None,
    )  # fmt: skip
