"""Who may write to a thread: taking it, holding it, and asking its run to stop."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING

import msgspec

from clew.engine.records import Run, ThreadKey
from clew.errors import ClewError, Conflict, ThreadBusy
from clew.storage.base import Ask, Asked, Begin, Keep, Lease, Renew, Watch
from clew.storage.postgres import failing, limits
from clew.storage.postgres.addresses import driver
from clew.storage.postgres.calls import BIG, INT, REAL, TEXT, Call, Found, Function, Rows
from clew.storage.postgres.journals_rows import RECORD_COLUMNS, RUN_COLUMNS, columns_of, columns_of_run, find_thread
from clew.storage.postgres.statements import change, rows

if TYPE_CHECKING:
    import psycopg

_BEGIN = Function(
    "clew_begin", (TEXT, TEXT, TEXT, TEXT, INT, TEXT, REAL, REAL, TEXT, TEXT, *RUN_COLUMNS), place=0,
    gives=(TEXT, BIG, BIG, BIG),
)  # fmt: skip
HOLD = Function("clew_hold", (BIG, BIG), place=2, gives=(BIG, TEXT))
_RENEW = Function("clew_renew", (BIG, BIG, REAL), place=2)
PUT_RECORDS = Function("clew_put_records", (TEXT, *RECORD_COLUMNS), place=1)

# Nobody but this owner makes this attempt at this run.
_TAKEN = (
    "SELECT t.id, r.id, t.epoch FROM clew_threads t JOIN clew_runs r ON t.head = r.id "
    "WHERE t.id = %s AND r.run_id = %s AND r.attempts = %s AND r.status = 'running' AND t.owner = %s"
)


def begin(operation: Begin) -> Call[Lease]:
    """Return the call that takes a thread for a run."""
    run = operation.run
    row = (
        *operation.thread, *_version(operation.head), operation.owner, operation.until_s, operation.now_s,
        msgspec.json.encode(list(operation.evicts)).decode(), operation.queued, *columns_of_run(run),
    )  # fmt: skip
    calls: dict[Function, Rows] = {**limits.check(operation), _BEGIN: [row]}
    if operation.records:
        calls[PUT_RECORDS] = [(run.id, *columns_of(record)) for record in operation.records]

    def taken(found: Mapping[Function, Found]) -> Lease:
        return _lease(operation, *found[_BEGIN][run.id])

    def recover(connection: psycopg.Connection) -> tuple[Lease] | None:
        thread = find_thread(connection, operation.thread)
        found = rows(connection, _TAKEN, (thread, run.id, run.attempts, operation.owner))
        return (_lease(operation, *found[0]),) if found else None

    def refused(error: psycopg.Error) -> ClewError | None:
        if error.sqlstate == failing.LIMIT:
            return limits.refusal(operation, error)
        return _refusal(operation.thread, error)

    return Call(calls, taken, refused, recover)


def claim(connection: psycopg.Connection, operation: Keep) -> int:
    """Return the row of a thread that nobody holds, made if it is missing, locked until the transaction ends.

    Raises:
        ThreadBusy: somebody holds it.
        Conflict: its head is not, or does not stand, as it was seen.
    """
    with refusals(operation.thread):
        [(thread,)] = rows(
            connection,
            "SELECT clew_claim(%s, %s, %s, %s, %s, %s, %s)",
            (*operation.thread, *_version(operation.head), operation.now_s, list(operation.evicts)),
        )
    return int(thread)


def lock_thread(connection: psycopg.Connection, thread: int) -> None:
    """Keep everybody else from writing to the thread in that row until the transaction ends."""
    rows(connection, "SELECT 1 FROM clew_threads WHERE id = %s FOR NO KEY UPDATE", (thread,))


@contextlib.contextmanager
def refusals(thread: ThreadKey) -> Generator[None]:
    """Say in clew's words what the database refuses to do with a thread."""
    try:
        yield
    except driver().Error as error:
        refusal = _refusal(thread, error)
        if refusal is None:
            raise
        raise refusal from error


def renew(operation: Renew) -> Call[None]:
    """Return the call that holds a lease for longer."""
    lease = operation.lease

    def refused(error: psycopg.Error) -> ClewError | None:
        return fenced_off(lease) if error.sqlstate == failing.FENCED_OFF else None

    return Call({_RENEW: [(lease.handle[0], lease.epoch, operation.until_s)]}, lambda found: None, refused)


def watch(connection: psycopg.Connection, operation: Watch) -> dict[str, Asked]:
    run_ids = {(lease.handle[0], lease.epoch): lease.run_id for lease in operation.leases}
    found = rows(
        connection,
        "SELECT id, epoch, asked FROM clew_threads WHERE id = ANY (%s) AND asked IS NOT NULL",
        ([thread for thread, _ in run_ids],),
    )
    return {run_ids[thread, epoch]: asked for thread, epoch, asked in found if (thread, epoch) in run_ids}


def ask(connection: psycopg.Connection, operation: Ask) -> bool:
    return bool(
        change(
            connection,
            "UPDATE clew_threads SET asked = %s WHERE thread_id = %s AND workflow = %s "
            "AND (%s::text IS NULL OR head = (SELECT id FROM clew_runs WHERE run_id = %s)) "
            "AND (owner IS NOT NULL OR %s::text = 'cancel' "
            "AND 'running' = (SELECT status FROM clew_runs WHERE clew_runs.id = head)) "
            "RETURNING pg_notify(clew_name_of(current_schema()::text), clew_name_of(workflow, thread_id, 'asked'))",
            (operation.what, *operation.thread, operation.run_id, operation.run_id, operation.what),
        )
    )


def fenced_off(lease: Lease) -> Conflict:
    """Return the error of a writer whose lease was taken by another."""
    return Conflict(
        f"thread {lease.thread.thread_id!r} of {lease.thread.workflow!r} was taken over by another run, or "
        f"deleted, while run {lease.run_id} was under way (epoch {lease.epoch}); nothing of this write was kept"
    )


def changed(thread: ThreadKey) -> Conflict:
    """Return the error of a writer who saw a thread as it is no longer."""
    return Conflict(f"thread {thread.thread_id!r} of {thread.workflow!r} was changed by another writer meanwhile")


def _refusal(thread: ThreadKey, error: psycopg.Error) -> ClewError | None:
    match error.sqlstate:
        case failing.BUSY:
            owner = error.diag.message_detail or ""
            return ThreadBusy(
                f"another run holds, or comes first on, thread {thread.thread_id!r} of {thread.workflow!r}", owner
            )
        case failing.CHANGED:
            return changed(thread)
        case _:
            return None


def _version(head: Run | None) -> tuple[str | None, str | None, int | None]:
    return (None, None, None) if head is None else head.version


def _lease(operation: Begin, thread: int, run: int, epoch: int) -> Lease:
    return Lease(operation.thread, operation.run.id, epoch, (thread, run))
