"""Who waits for a thread, and what a worker finds to do: the SQL of the queue."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from clew.engine.records import Queued, ThreadKey, Work
from clew.errors import Conflict, ThreadBusy
from clew.storage.base import Begin
from clew.storage.queueing import Enqueue, FindWork, LeaveQueue, ListQueue, StayQueued
from clew.storage.sqlite.leases import made_thread
from clew.storage.sqlite.packing import short_id

_PLACE = "name, owner, until_s, act, input, config, priority, due_s, created_s"


def enqueue(connection: sqlite3.Connection, operation: Enqueue) -> bool:
    place = operation.place
    (known,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM clew_queue WHERE name = ?) OR EXISTS (SELECT 1 FROM clew_runs WHERE run_id = ?)",
        (place.id, short_id(place.id)),
    ).fetchone()
    if known:
        return False
    put_place(connection, made_thread(connection, place.thread, place.created_s), place)
    return True


def put_place(connection: sqlite3.Connection, thread: int, place: Queued) -> None:
    """Put a place at the end of the queue of the thread in that row."""
    connection.execute(
        f"INSERT INTO clew_queue (thread, {_PLACE}) VALUES (?{', ?' * 9})",
        (
            thread, place.id, place.owner, place.until_s, place.act, place.input, place.config, place.priority,
            place.due_s, place.created_s,
        ),
    )  # fmt: skip


def stay_queued(connection: sqlite3.Connection, operation: StayQueued) -> bool:
    stay = "UPDATE clew_queue SET until_s = ? WHERE name = ?"
    return bool(connection.execute(stay, (operation.until_s, operation.id)).rowcount)


def leave_queue(connection: sqlite3.Connection, operation: LeaveQueue) -> bool:
    return bool(connection.execute("DELETE FROM clew_queue WHERE name = ?", (operation.id,)).rowcount)


def list_queue(connection: sqlite3.Connection, operation: ListQueue) -> list[Queued]:
    which, values = "ORDER BY id", tuple[Any, ...]()
    if operation.id is not None:
        which, values = "AND name = ?", (operation.id,)
    elif operation.due_s is not None:
        which, values = "AND owner IS NULL AND due_s <= ? ORDER BY id LIMIT 1", (operation.due_s,)
    rows = connection.execute(
        f"SELECT {_PLACE} FROM clew_queue "
        f"WHERE thread = (SELECT id FROM clew_threads WHERE thread_id = ? AND workflow = ?) {which}",
        (*operation.thread, *values),
    )
    return [_place(operation.thread, row) for row in rows]


def _place(thread: ThreadKey, row: tuple[Any, ...]) -> Queued:
    return Queued(
        id=row[0], thread=thread, owner=row[1], until_s=row[2], act=row[3], input=row[4], config=row[5],
        priority=row[6], due_s=row[7], created_s=row[8],
    )  # fmt: skip


# With which place a run comes that serves ?3: a caller comes with the first of its process.
_RANK = """(
    SELECT min(served.id, coalesce((
        SELECT min(id) FROM clew_queue AS own WHERE thread = ?1 AND own.owner = served.owner AND own.until_s > ?4
    ), served.id)) FROM clew_queue AS served WHERE name = ?3
)"""


def check_first(connection: sqlite3.Connection, thread: int, operation: Begin) -> None:
    """Refuse a new run before which somebody else comes.

    Raises:
        ThreadBusy: somebody does.
    """
    found = connection.execute(
        "SELECT owner FROM clew_queue WHERE thread = ?1 AND (owner IS NULL OR owner <> ?2) "
        f"AND id < CASE WHEN ?3 IS NULL THEN {2**63 - 1} ELSE {_RANK} END "
        "AND CASE WHEN owner IS NULL THEN due_s <= ?4 ELSE until_s > ?4 END ORDER BY id",
        (thread, operation.owner, operation.queued, operation.now_s),
    )
    # All of them, for a reader that is left half-way stays open as long as the error lives: it would hold its state of
    # the file, and this connection could write no more once another process has.
    for (owner,) in found.fetchall():
        if owner not in operation.evicts:
            key = operation.thread
            raise ThreadBusy(f"others wait for thread {key.thread_id!r} of {key.workflow!r}", owner or "")


def leave_with(connection: sqlite3.Connection, thread: int, operation: Begin) -> None:
    """Remove the place that a run serves, and those of callers that are gone.

    Raises:
        Conflict: the place is gone.
    """
    served = "DELETE FROM clew_queue WHERE name = ? AND thread = ?"
    if operation.queued and not connection.execute(served, (operation.queued, thread)).rowcount:
        raise Conflict(f"place {operation.queued} in the queue of thread {operation.thread.thread_id!r} is gone")
    connection.execute(
        "DELETE FROM clew_queue WHERE thread = ?1 AND owner IS NOT NULL "
        "AND (until_s <= ?2 OR owner IN (SELECT value FROM json_each(?3)))",
        (thread, operation.now_s, json.dumps(list(operation.evicts))),
    )


# Each part begins with an index that holds few rows only: leases that are held, deadlines, submitted calls.
_CRASHED = """
SELECT thread_id, workflow, CASE WHEN until_s > ?2 THEN owner END, 'crashed', 0, changed_s
FROM clew_threads
WHERE owner IS NOT NULL AND (until_s <= ?2 OR substr(owner, 1, length(?3)) = ?3)
    AND workflow IN (SELECT value FROM json_each(?1))
    AND (SELECT status FROM clew_runs WHERE clew_runs.id = head) = 'running'
"""

_DUE = """
SELECT thread_id, workflow, NULL, 'due', 0, due_s
FROM clew_threads
WHERE due_s <= ?2 AND (owner IS NULL OR until_s <= ?2) AND workflow IN (SELECT value FROM json_each(?1))
"""

_QUEUED = """
SELECT thread_id, workflow, NULL, 'queued', place.priority, max(place.due_s, place.created_s)
FROM (SELECT DISTINCT thread FROM clew_queue INDEXED BY clew_queue_due WHERE owner IS NULL AND due_s <= ?2) AS called
    CROSS JOIN clew_threads ON clew_threads.id = called.thread
    CROSS JOIN clew_queue AS place ON place.id = (
        SELECT id FROM clew_queue AS first WHERE first.thread = called.thread
            AND CASE WHEN first.owner IS NULL THEN first.due_s <= ?2 ELSE first.until_s > ?2 END ORDER BY id LIMIT 1
    )
WHERE place.owner IS NULL
    AND (clew_threads.owner IS NULL OR clew_threads.until_s <= ?2)
    AND (clew_threads.due_s IS NULL OR clew_threads.due_s > ?2)
    AND workflow IN (SELECT value FROM json_each(?1))
    AND (SELECT status FROM clew_runs WHERE clew_runs.id = head) IS NOT 'running'
"""

FIND_WORK = f"SELECT * FROM ({_CRASHED} UNION ALL {_DUE} UNION ALL {_QUEUED}) ORDER BY 5 DESC, 6 LIMIT ?4"


def find_work(connection: sqlite3.Connection, operation: FindWork) -> Sequence[Work]:
    rows = connection.execute(
        FIND_WORK, (json.dumps(list(operation.workflows)), operation.now_s, operation.machine, operation.limit)
    )
    return [Work(thread=ThreadKey(row[0], row[1]), owner=row[2], why=row[3], priority=row[4]) for row in rows]
