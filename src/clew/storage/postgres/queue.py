"""Who waits for a thread, and what a worker finds to do: the SQL of the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clew.engine.records import Queued, ThreadKey, Work
from clew.storage.postgres.calls import BYTES, INT, REAL, TEXT, Call, Function
from clew.storage.postgres.journals_rows import THREAD, find_thread
from clew.storage.postgres.statements import change, rows
from clew.storage.queueing import Enqueue, FindWork, LeaveQueue, ListQueue, StayQueued

if TYPE_CHECKING:
    import psycopg

_PLACE = "name, owner, until_s, act, input, config, priority, due_s, created_s"


_ENQUEUE = Function(
    "clew_enqueue", (TEXT, TEXT, TEXT, TEXT, REAL, TEXT, BYTES, BYTES, INT, REAL, REAL), place=0, gives=(TEXT, INT)
)


def enqueue(operation: Enqueue) -> Call[bool]:
    """Return the call that takes a place."""
    place = operation.place
    row = (
        *place.thread, place.id, place.owner, place.until_s, place.act, place.input, place.config, place.priority,
        place.due_s, place.created_s,
    )  # fmt: skip

    def recover(connection: psycopg.Connection) -> tuple[bool] | None:
        find_thread(connection, place.thread)  # and wait for the first try to end
        taken = "SELECT 1 FROM clew_queue WHERE name = %s AND owner IS NOT DISTINCT FROM %s AND created_s = %s"
        return (True,) if rows(connection, taken, (place.id, place.owner, place.created_s)) else None

    return Call({_ENQUEUE: [row]}, lambda found: bool(found[_ENQUEUE][place.id][0]), recover=recover)


def stay_queued(connection: psycopg.Connection, operation: StayQueued) -> bool:
    stay = "UPDATE clew_queue SET until_s = %s WHERE name = %s"
    return bool(change(connection, stay, (operation.until_s, operation.id)))


def leave_queue(connection: psycopg.Connection, operation: LeaveQueue) -> bool:
    return bool(rows(connection, "DELETE FROM clew_queue WHERE name = %s RETURNING clew_tell(thread)", (operation.id,)))


def list_queue(connection: psycopg.Connection, operation: ListQueue) -> list[Queued]:
    which, values = "ORDER BY id", tuple[Any, ...]()
    if operation.id is not None:
        which, values = "AND name = %s", (operation.id,)
    elif operation.due_s is not None:
        which, values = "AND owner IS NULL AND due_s <= %s ORDER BY id LIMIT 1", (operation.due_s,)
    sql = f"SELECT {_PLACE} FROM clew_queue WHERE thread = {THREAD} {which}"
    found = rows(connection, sql, (*operation.thread, *values))
    return [_place(operation.thread, row) for row in found]


def _place(thread: ThreadKey, row: tuple[Any, ...]) -> Queued:
    return Queued(
        id=row[0], thread=thread, owner=row[1], until_s=row[2], act=row[3], input=row[4], config=row[5],
        priority=row[6], due_s=row[7], created_s=row[8],
    )  # fmt: skip


# Each part begins with an index that holds few rows only: leases that are held, deadlines, submitted calls. OFFSET 0
# keeps it so: without figures, as of young tables, the server would go through all threads of a workflow instead.
_CRASHED = """
SELECT thread_id, workflow, CASE WHEN until_s > %(now_s)s THEN owner END, 'crashed', 0, changed_s
FROM (SELECT * FROM clew_threads WHERE owner IS NOT NULL OFFSET 0) AS held
WHERE (until_s <= %(now_s)s OR starts_with(owner, %(machine)s))
    AND workflow = ANY (%(workflows)s)
    AND (SELECT status FROM clew_runs WHERE clew_runs.id = head) = 'running'
"""

_DUE = """
SELECT thread_id, workflow, NULL, 'due', 0, due_s
FROM (SELECT * FROM clew_threads WHERE due_s <= %(now_s)s OFFSET 0) AS due
WHERE (owner IS NULL OR until_s <= %(now_s)s) AND workflow = ANY (%(workflows)s)
"""

_QUEUED = """
SELECT thread_id, workflow, NULL, 'queued', place.priority, greatest(place.due_s, place.created_s)
FROM (SELECT DISTINCT thread FROM clew_queue WHERE owner IS NULL AND due_s <= %(now_s)s OFFSET 0) AS called
    CROSS JOIN LATERAL (SELECT * FROM clew_threads WHERE id = called.thread OFFSET 0) AS clew_threads
    CROSS JOIN LATERAL (
        SELECT * FROM clew_queue AS first WHERE first.thread = called.thread
            AND CASE WHEN first.owner IS NULL THEN first.due_s <= %(now_s)s ELSE first.until_s > %(now_s)s END
        ORDER BY id LIMIT 1
    ) AS place
WHERE place.owner IS NULL
    AND (clew_threads.owner IS NULL OR clew_threads.until_s <= %(now_s)s)
    AND (clew_threads.due_s IS NULL OR clew_threads.due_s > %(now_s)s)
    AND workflow = ANY (%(workflows)s)
    AND (SELECT status FROM clew_runs WHERE clew_runs.id = head) IS DISTINCT FROM 'running'
"""

_FIND_WORK = f"{_CRASHED} UNION ALL {_DUE} UNION ALL {_QUEUED} ORDER BY 5 DESC, 6 LIMIT %(limit)s"


def find_work(connection: psycopg.Connection, operation: FindWork) -> list[Work]:
    found = rows(
        connection,
        _FIND_WORK,
        {
            "workflows": list(operation.workflows), "now_s": operation.now_s, "machine": operation.machine,
            "limit": operation.limit,
        },
    )  # fmt: skip
    return [Work(thread=ThreadKey(row[0], row[1]), owner=row[2], why=row[3], priority=row[4]) for row in found]
