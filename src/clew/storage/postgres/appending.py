"""Keeping outcomes: one call for what every run does all the time, a transaction for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from clew.engine.records import Piece, Run, ThreadKey
from clew.errors import ClewError, Conflict
from clew.storage.base import Append, Asked, Keep, first_epoch, removed
from clew.storage.postgres import failing
from clew.storage.postgres.calls import BIG, BYTES, INT, REAL, TEXT, Call, Found, Function
from clew.storage.postgres.exchanging import carry_out
from clew.storage.postgres.items import refused_write, write_rows
from clew.storage.postgres.journals_rows import RECORD_COLUMNS, columns_of, made_thread, put_run
from clew.storage.postgres.leases import HOLD, claim, fenced_off, lock_thread
from clew.storage.postgres.statements import change, rows
from clew.storage.postgres.texts import from_held

if TYPE_CHECKING:
    import psycopg

_APPEND = Function(
    "clew_append", (BIG, BIG, BIG, *RECORD_COLUMNS), place=3, gives=(BIG, TEXT), single="clew_append_one"
)
KEEP_PIECES = Function("clew_keep_pieces", (BIG, TEXT, TEXT, INT, BYTES), place=4)
_END = Function("clew_end", (BIG, BIG, BIG, TEXT, BYTES, BYTES, TEXT, BYTES, REAL, REAL), place=5)


def is_plain(operation: Append) -> bool:
    """Say whether `append` does everything that an operation asks for."""
    end = operation.end
    return not (operation.replaces or operation.also or (end and (end.reopened or end.removes)))


def append(operation: Append) -> Call[Asked | None]:
    """Return the call that keeps records, pieces, memories, and how the run ended."""
    lease, end = operation.lease, operation.end
    thread, run = lease.handle
    calls: dict[Function, list[tuple[Any, ...]]] = {}
    if operation.records:
        calls[_APPEND] = [(thread, lease.epoch, run, *columns_of(record)) for record in operation.records]
    elif end is None:
        calls[HOLD] = [(thread, lease.epoch)]
    if operation.pieces:
        calls[KEEP_PIECES] = piece_rows(thread, operation.pieces)
    calls.update(write_rows(operation.writes))
    if end is not None:
        calls[_END] = [
            (thread, lease.epoch, run, end.status, end.value, end.saved, end.error, end.questions, end.ended_s,
             end.due_s)
        ]  # fmt: skip

    def asked(found: Mapping[Function, Found]) -> Any:
        return None if end is not None else found[_APPEND if operation.records else HOLD][thread][0]

    return Call(calls, asked, partial(_refusal, operation), partial(recover, operation))


def piece_rows(thread: int, pieces: Sequence[Piece]) -> list[tuple[Any, ...]]:
    """Return what KEEP_PIECES takes."""
    return [(thread, piece.id, piece.before, piece.count, piece.body) for piece in pieces]


def append_more(connection: psycopg.Connection, operation: Append) -> Asked | None:
    """Carry out an operation that is not plain, in a transaction."""
    thread, run = operation.lease.handle
    if operation.replaces:
        keys = list(operation.replaces)
        change(connection, "DELETE FROM clew_records WHERE run = %s AND key = ANY (%s)", (run, keys))
    for nested in operation.also:
        keep(connection, nested)
    asked = carry_out(connection, append(operation))  # refuses whoever does not hold the thread any more
    if operation.end is not None and operation.end.reopened:
        keys = list(operation.end.reopened)
        change(connection, "UPDATE clew_records SET state = 'reopened' WHERE run = %s AND key = ANY (%s)", (run, keys))
    if operation.end is not None and operation.end.removes:
        change(connection, "DELETE FROM clew_runs WHERE id = %s", (run,))
        change(
            connection,
            "UPDATE clew_threads SET head = (SELECT id FROM clew_runs WHERE thread = %s ORDER BY number DESC LIMIT 1) "
            "WHERE id = %s",
            (thread, thread),
        )
    return asked


def recover(operation: Append, connection: psycopg.Connection) -> tuple[Asked | None] | None:
    """Return what the run was asked if exactly this was kept: (that,), or None if it was not."""
    thread, run = operation.lease.handle
    lock_thread(connection, thread)
    keys = [record.key for record in operation.records]
    kept = rows(
        connection,
        "SELECT key, outcome, started_s, ended_s FROM clew_records WHERE run = %s AND key = ANY (%s)",
        (run, keys),
    )
    wanted = {(record.key, record.outcome, record.started_s, record.ended_s) for record in operation.records}
    if set(kept) != wanted:
        return None
    if operation.end is None:
        [(asked,)] = rows(connection, "SELECT asked FROM clew_threads WHERE id = %s", (thread,))
        return (asked,) if operation.records else None
    ended = rows(connection, "SELECT status, ended_s FROM clew_runs WHERE id = %s", (run,))
    is_ended = not ended if operation.end.removes else ended == [(operation.end.status, operation.end.ended_s)]
    return (None,) if is_ended else None


def keep(connection: psycopg.Connection, operation: Keep) -> Run:
    if operation.regardless:
        id = made_thread(connection, operation.thread, first_epoch(operation.now_s), operation.now_s)
    else:
        id = claim(connection, operation)
    _check_given(connection, id, operation.thread, operation.run)
    return _keep_as_head(connection, operation.thread, id, operation.run, operation.pieces)


def _check_given(connection: psycopg.Connection, id: int, thread: ThreadKey, run: Run) -> None:
    """Refuse a new run if what it was given as `previous` was removed meanwhile.

    Raises:
        Conflict: it was.
    """
    given = "SELECT 1 FROM clew_runs WHERE thread = %s AND run_id = %s"
    if run.previous is not None and not rows(connection, given, (id, run.previous)):
        raise removed(thread, run)


def _keep_as_head(connection: psycopg.Connection, thread: ThreadKey, id: int, run: Run, pieces: Sequence[Piece]) -> Run:
    """Keep a finished run as the newest of the thread in row `id`, which is locked."""
    [(number,)] = rows(connection, "SELECT coalesce(max(number) + 1, 0) FROM clew_runs WHERE thread = %s", (id,))
    run = replace(run, number=number)
    row = put_run(connection, id, run)
    if pieces:
        refused = partial(piece_refusal, thread)
        carry_out(connection, Call({KEEP_PIECES: piece_rows(id, pieces)}, lambda found: None, refused))
    change(
        connection,
        "UPDATE clew_threads SET head = %s, epoch = epoch + 1, owner = NULL, until_s = 0, asked = NULL, due_s = NULL, "
        "changed_s = %s WHERE id = %s",
        (row, run.created_s, id),
    )
    return run


def _refusal(operation: Append, error: psycopg.Error) -> ClewError | None:
    lease = operation.lease
    if error.sqlstate == failing.FENCED_OFF:
        return fenced_off(lease)
    if error.sqlstate == failing.EXISTS and error.diag.table_name == "clew_records":
        what = error.diag.message_detail or "a call"
        return Conflict(f"a call of run {lease.run_id} was recorded by another writer: {from_held(what)}")
    return piece_refusal(lease.thread, error) or refused_write(operation.writes, error)


def piece_refusal(thread: ThreadKey, error: psycopg.Error) -> ClewError | None:
    """Return what it means that the database refuses pieces of a list."""
    of_thread = f"of a list that thread {thread.thread_id!r} of {thread.workflow!r} saved"
    match error.sqlstate:
        case failing.CHANGED:
            return Conflict(f"a piece {of_thread} follows one that was removed meanwhile")
        case failing.EXISTS:
            return Conflict(f"a piece {of_thread} is kept already")
        case _:
            return None
