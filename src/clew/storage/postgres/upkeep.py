"""Deleting, pruning and moving whole threads: the SQL of it. What is to go was decided by the caller."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from clew.engine.records import Piece, Record, Run, ThreadKey
from clew.errors import Conflict
from clew.storage.base import DeleteThread, first_epoch
from clew.storage.postgres.appending import KEEP_PIECES, piece_refusal, piece_rows
from clew.storage.postgres.calls import Call, Function
from clew.storage.postgres.exchanging import carry_out
from clew.storage.postgres.journals_rows import (
    RECORD,
    RUN,
    THREAD,
    columns_of,
    find_thread,
    made_thread,
    put_run,
    records_of,
    run_of,
)
from clew.storage.postgres.leases import PUT_RECORDS, changed
from clew.storage.postgres.queue import enqueue, list_queue
from clew.storage.postgres.statements import change, rows
from clew.storage.queueing import Enqueue, ListQueue
from clew.storage.upkeep import (
    ELSEWHERE,
    ForgetDeleted,
    KeepThread,
    ListPieces,
    LoadThread,
    Prune,
    WalkThreads,
    WholeThread,
)

if TYPE_CHECKING:
    import psycopg


def walk_threads(connection: psycopg.Connection, operation: WalkThreads) -> list[ThreadKey]:
    after = operation.after or ("", "")
    found = rows(
        connection,
        'SELECT thread_id, workflow FROM clew_threads WHERE (thread_id COLLATE "C", workflow COLLATE "C") > (%s, %s) '
        "AND (head IS NOT NULL OR EXISTS (SELECT 1 FROM clew_queue WHERE thread = clew_threads.id)) "
        'ORDER BY thread_id COLLATE "C", workflow COLLATE "C" LIMIT %s',
        (*after, operation.limit),
    )
    return [ThreadKey(*row) for row in found]


def delete_thread(connection: psycopg.Connection, operation: DeleteThread) -> int:
    found = rows(
        connection,
        "SELECT id FROM clew_threads WHERE thread_id = %s ORDER BY id FOR UPDATE",  # nobody writes to them meanwhile
        (operation.thread_id,),
    )
    threads = [id for (id,) in found]
    removed = change(connection, "DELETE FROM clew_runs WHERE thread = ANY (%s)", (threads,))
    if operation.entirely:
        change(connection, "DELETE FROM clew_threads WHERE id = ANY (%s)", (threads,))
        return removed
    change(connection, "DELETE FROM clew_pieces WHERE thread = ANY (%s)", (threads,))
    change(connection, "DELETE FROM clew_queue WHERE thread = ANY (%s)", (threads,))
    change(
        connection,
        "UPDATE clew_threads SET head = NULL, epoch = epoch + 1, owner = NULL, until_s = 0, asked = NULL, "
        "due_s = NULL, changed_s = %s WHERE id = ANY (%s)",
        (operation.now_s, threads),
    )
    return removed


def forget_deleted(connection: psycopg.Connection, operation: ForgetDeleted) -> int:
    return change(
        connection,
        "DELETE FROM clew_threads WHERE head IS NULL AND owner IS NULL AND changed_s < %s "
        "AND NOT EXISTS (SELECT 1 FROM clew_queue WHERE thread = clew_threads.id)",
        (operation.before_s,),
    )


def list_pieces(connection: psycopg.Connection, operation: ListPieces) -> dict[str, str | None]:
    found = rows(
        connection, f"SELECT name, before FROM clew_pieces WHERE thread = {THREAD} ORDER BY id", operation.thread
    )
    return {row[0]: row[1] for row in found}


def prune(connection: psycopg.Connection, operation: Prune) -> None:
    thread = _unchanged(connection, operation.thread, operation.head)
    gone, trimmed = list(operation.runs), list(operation.trimmed)
    change(connection, "DELETE FROM clew_runs WHERE thread = %s AND run_id = ANY (%s)", (thread, gone))
    rest = rows(
        connection,
        "UPDATE clew_runs SET input = NULL WHERE thread = %s AND run_id = ANY (%s) RETURNING id",
        (thread, trimmed),
    )
    for table in ("clew_records", "clew_events"):
        change(connection, f"DELETE FROM {table} WHERE run = ANY (%s)", ([id for (id,) in rest],))
    pieces = list(operation.pieces)
    change(connection, "DELETE FROM clew_pieces WHERE thread = %s AND name = ANY (%s)", (thread, pieces))


def load_thread(connection: psycopg.Connection, operation: LoadThread) -> WholeThread | None:
    found = rows(
        connection, "SELECT id, due_s FROM clew_threads WHERE thread_id = %s AND workflow = %s", operation.thread
    )
    if not found:
        return None
    [(thread, due_s)] = found
    whole = WholeThread(
        thread=operation.thread,
        runs=_runs(connection, thread),
        pieces=_pieces(connection, thread),
        queue=[place for place in list_queue(connection, ListQueue(operation.thread)) if place.owner is None],
        due_s=due_s,
    )
    return whole if whole.runs or whole.queue else None


def _runs(connection: psycopg.Connection, thread: int) -> list[tuple[Run, list[Record]]]:
    runs = rows(connection, f"SELECT {RUN}, id FROM clew_runs WHERE thread = %s ORDER BY number", (thread,))
    journal = f"SELECT {RECORD} FROM clew_records WHERE run = %s ORDER BY id"
    return [(run_of(row), records_of(rows(connection, journal, row[-1:]))) for row in runs]


def _pieces(connection: psycopg.Connection, thread: int) -> list[Piece]:
    found = rows(
        connection, "SELECT name, before, count, body FROM clew_pieces WHERE thread = %s ORDER BY id", (thread,)
    )
    return [Piece(id=row[0], before=row[1], count=row[2], body=row[3]) for row in found]


def keep_thread(connection: psycopg.Connection, operation: KeepThread) -> None:
    whole, now_s = operation.whole, operation.now_s
    thread = made_thread(connection, whole.thread, first_epoch(now_s), now_s)
    if load_thread(connection, LoadThread(whole.thread)) is not None:
        raise Conflict(f"there is a thread {whole.thread.thread_id!r} of {whole.thread.workflow!r} already")
    ids = [run.id for run, _ in whole.runs]
    for (known,) in rows(connection, "SELECT run_id FROM clew_runs WHERE run_id = ANY (%s)", (ids,)):
        raise _known(known)
    head: int | None = None
    for run, _ in whole.runs:
        head = put_run(connection, thread, run)
    _put(connection, thread, whole)
    for place in whole.queue:
        if not carry_out(connection, enqueue(Enqueue(place))):
            raise _known(place.id)
    change(
        connection,
        "UPDATE clew_threads SET head = %s, owner = %s, epoch = epoch + 1, due_s = %s, changed_s = %s WHERE id = %s",
        (head, ELSEWHERE if whole.is_running else None, whole.due_s, now_s, thread),
    )


def _put(connection: psycopg.Connection, thread: int, whole: WholeThread) -> None:
    """Keep the journals and pieces of a thread whose runs are kept."""
    records = [(run.id, *columns_of(record)) for run, journal in whole.runs for record in journal]
    parts: dict[Function, list[tuple[Any, ...]]] = {PUT_RECORDS: records, KEEP_PIECES: piece_rows(thread, whole.pieces)}
    given = {function: part for function, part in parts.items() if part}
    if given:
        carry_out(connection, Call(given, lambda found: None, partial(piece_refusal, whole.thread)))


def _unchanged(connection: psycopg.Connection, thread: ThreadKey, head: Run) -> int:
    """Return the row of a thread whose newest run stands as it was seen, locked until the transaction ends.

    Raises:
        Conflict: it does not.
    """
    id = find_thread(connection, thread)
    found = rows(
        connection,
        "SELECT run_id, status, attempts FROM clew_runs WHERE id = (SELECT head FROM clew_threads WHERE id = %s)",
        (id,),
    )
    if id is None or found != [head.version]:
        raise changed(thread)
    return id


def _known(run_id: str) -> Conflict:
    return Conflict(f"there is a run {run_id!r} already, on another thread")
