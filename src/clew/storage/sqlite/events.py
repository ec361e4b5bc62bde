"""What a run shows to readers elsewhere: the SQL of its events."""

from __future__ import annotations

import sqlite3

from clew.storage.base import AddEvents, LoadEvents
from clew.storage.sqlite.leases import asked_of
from clew.storage.sqlite.packing import short_id


def add_events(connection: sqlite3.Connection, operation: AddEvents) -> None:
    thread, run = operation.lease.handle
    is_head = "SELECT 1 FROM clew_threads WHERE id = ?1 AND coalesce(head, ?2) = ?2"
    if connection.execute(is_head, (thread, run)).fetchone():
        asked_of(connection, operation.lease)  # refuses whoever does not hold the run any more
    (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM clew_events WHERE run = ?", (run,)).fetchone()
    connection.executemany(
        "INSERT INTO clew_events (run, number, body) VALUES (?, ?, ?)",
        [(run, number, body) for number, body in enumerate(operation.events, last + 1)],
    )


def load_events(connection: sqlite3.Connection, operation: LoadEvents) -> list[tuple[int, bytes]]:
    rows = connection.execute(
        "SELECT number, body FROM clew_events WHERE run = (SELECT id FROM clew_runs WHERE run_id = ?) AND number > ? "
        "ORDER BY number",
        (short_id(operation.run_id), operation.after),
    )
    return list(rows)
