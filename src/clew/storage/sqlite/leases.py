"""Who may write to a thread: the SQL of taking it, holding it, and asking its run to stop."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from clew.engine.records import Run, ThreadKey
from clew.errors import Conflict, ThreadBusy
from clew.storage.base import Ask, Asked, Lease, Renew, Watch, first_epoch
from clew.storage.sqlite.packing import short_id


def claimed_thread(
    connection: sqlite3.Connection, thread: ThreadKey, head: Run | None, now_s: float, evicts: Sequence[str]
) -> tuple[int, bool]:
    """Return the row of a thread that nobody holds, made if it is missing, and whether it has a queue.

    Raises:
        ThreadBusy: somebody holds it.
        Conflict: its head is not, or does not stand, as it was seen.
    """
    row = connection.execute(
        "SELECT clew_threads.id, EXISTS (SELECT 1 FROM clew_queue WHERE clew_queue.thread = clew_threads.id), "
        "owner, until_s, run_id, status, attempts "
        "FROM clew_threads LEFT JOIN clew_runs ON clew_runs.id = head WHERE thread_id = ? AND workflow = ?",
        thread,
    ).fetchone()
    if row is None:
        row = (new_thread(connection, thread, now_s), 0, None, 0, None, None, None)
    id, has_queue, owner, until_s, *version = row
    if owner is not None and until_s > now_s and owner not in evicts:
        raise ThreadBusy(f"another run holds thread {thread.thread_id!r} of {thread.workflow!r}", owner)
    if tuple(version) != version_of(head):
        raise Conflict(f"thread {thread.thread_id!r} of {thread.workflow!r} was changed by another writer meanwhile")
    return int(id), bool(has_queue)


def version_of(head: Run | None) -> tuple[bytes | str | None, str | None, int | None]:
    """Return run_id, status and attempts of a thread's newest run, as they are kept."""
    return (None, None, None) if head is None else (short_id(head.id), *head.version[1:])


def made_thread(connection: sqlite3.Connection, thread: ThreadKey, now_s: float) -> int:
    """Return the row of a thread, made if it is missing."""
    row = connection.execute("SELECT id FROM clew_threads WHERE thread_id = ? AND workflow = ?", thread).fetchone()
    return int(row[0]) if row else new_thread(connection, thread, now_s)


def new_thread(connection: sqlite3.Connection, thread: ThreadKey, now_s: float) -> int:
    """Make a thread without runs, and return its row."""
    cursor = connection.execute(
        "INSERT INTO clew_threads (thread_id, workflow, epoch, changed_s) VALUES (?, ?, ?, ?)",
        (*thread, first_epoch(now_s), now_s),
    )
    return int(cursor.lastrowid or 0)


def asked_of(connection: sqlite3.Connection, lease: Lease) -> Asked | None:
    """Return what the run of a lease is asked to do.

    Raises:
        Conflict: another writer has the thread.
    """
    held = "SELECT asked FROM clew_threads WHERE id = ? AND epoch = ?"
    row = connection.execute(held, (lease.handle[0], lease.epoch)).fetchone()
    if row is None:
        raise fenced_off(lease)
    asked: Asked | None = row[0]
    return asked


def renew(connection: sqlite3.Connection, operation: Renew) -> None:
    lease = operation.lease
    if not connection.execute(
        "UPDATE clew_threads SET until_s = ? WHERE id = ? AND epoch = ?",
        (operation.until_s, lease.handle[0], lease.epoch),
    ).rowcount:
        raise fenced_off(lease)


def watch(connection: sqlite3.Connection, operation: Watch) -> dict[str, Asked]:
    asked = "SELECT asked FROM clew_threads WHERE id = ? AND epoch = ? AND asked IS NOT NULL"
    found = {
        lease.run_id: connection.execute(asked, (lease.handle[0], lease.epoch)).fetchone() for lease in operation.leases
    }
    return {run_id: row[0] for run_id, row in found.items() if row is not None}


def ask(connection: sqlite3.Connection, operation: Ask) -> bool:
    return bool(
        connection.execute(
            "UPDATE clew_threads SET asked = ?1 WHERE thread_id = ?2 AND workflow = ?3 "
            "AND (?4 IS NULL OR head = (SELECT id FROM clew_runs WHERE run_id = ?4)) "
            "AND (owner IS NOT NULL OR ?1 = 'cancel' "
            "AND 'running' = (SELECT status FROM clew_runs WHERE clew_runs.id = head))",
            (operation.what, *operation.thread, operation.run_id and short_id(operation.run_id)),
        ).rowcount
    )


def fenced_off(lease: Lease) -> Conflict:
    """Return the error of a writer whose lease was taken by another."""
    return Conflict(
        f"thread {lease.thread.thread_id!r} of {lease.thread.workflow!r} was taken over by another run, or "
        f"deleted, while run {lease.run_id} was under way (epoch {lease.epoch}); nothing of this write was kept"
    )
