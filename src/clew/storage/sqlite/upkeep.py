"""Deleting, pruning and moving whole threads: the SQL of it. What is to go was decided by the caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from clew.codec.growing import last_pieces
from clew.engine.records import Piece, Run, ThreadKey
from clew.errors import Conflict, UnreadableRecord
from clew.storage.base import DeleteThread
from clew.storage.queueing import Enqueue, ListQueue
from clew.storage.sqlite.ended_runs import RECORD, pack_run, row_of
from clew.storage.sqlite.journals_rows import KEPT_RUN, put_run, records_of, run_of
from clew.storage.sqlite.leases import new_thread, version_of
from clew.storage.sqlite.packing import long_id, short_id
from clew.storage.sqlite.pieces import PLACE_BITS, add_pieces, body_of
from clew.storage.sqlite.queue import enqueue, list_queue
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

_LAST_PLACE = (1 << PLACE_BITS) - 1
_HOLDS = "(head IS NOT NULL OR EXISTS (SELECT 1 FROM clew_queue WHERE thread = clew_threads.id))"  # no tombstone
_IS_THERE = f"SELECT 1 FROM clew_threads WHERE id = ? AND {_HOLDS}"


def walk_threads(connection: sqlite3.Connection, operation: WalkThreads) -> list[ThreadKey]:
    rows = connection.execute(
        f"SELECT thread_id, workflow FROM clew_threads WHERE (thread_id, workflow) > (?, ?) AND {_HOLDS} "
        "ORDER BY thread_id, workflow LIMIT ?",
        (*(operation.after or ("", "")), operation.limit),
    )
    return [ThreadKey(*row) for row in rows]


def delete_thread(connection: sqlite3.Connection, operation: DeleteThread) -> int:
    which = "thread IN (SELECT id FROM clew_threads WHERE thread_id = ?)"
    removed = connection.execute(f"DELETE FROM clew_runs WHERE {which}", (operation.thread_id,)).rowcount
    if operation.entirely:
        connection.execute("DELETE FROM clew_threads WHERE thread_id = ?", (operation.thread_id,))
        return removed
    connection.execute(f"DELETE FROM clew_chains WHERE {which}", (operation.thread_id,))
    connection.execute(f"DELETE FROM clew_queue WHERE {which}", (operation.thread_id,))
    connection.execute(
        "UPDATE clew_threads SET head = NULL, epoch = epoch + 1, owner = NULL, until_s = 0, asked = NULL, "
        "due_s = NULL, changed_s = ? WHERE thread_id = ?",
        (operation.now_s, operation.thread_id),
    )
    return removed


def forget_deleted(connection: sqlite3.Connection, operation: ForgetDeleted) -> int:
    return connection.execute(
        f"DELETE FROM clew_threads WHERE NOT {_HOLDS} AND owner IS NULL AND changed_s < ?",
        (operation.before_s,),
    ).rowcount


def list_pieces(connection: sqlite3.Connection, operation: ListPieces) -> dict[str, str | None]:
    row = _find(connection, operation.thread)
    return {} if row is None else {name: before for name, before, _ in _places(connection, row)}


def prune(connection: sqlite3.Connection, operation: Prune) -> None:
    thread = _unchanged(connection, operation.thread, operation.head)
    connection.executemany(
        "DELETE FROM clew_runs WHERE thread = ? AND run_id = ?",
        [(thread, short_id(run_id)) for run_id in operation.runs],
    )
    for run_id in operation.trimmed:
        _trim(connection, thread, run_id)
    _remove_pieces(connection, thread, operation.pieces)


def load_thread(connection: sqlite3.Connection, operation: LoadThread) -> WholeThread | None:
    thread = _find(connection, operation.thread)
    if thread is None:
        return None
    (due_s,) = connection.execute("SELECT due_s FROM clew_threads WHERE id = ?", (thread,)).fetchone()
    runs = connection.execute(f"SELECT {KEPT_RUN}, id FROM clew_runs WHERE thread = ? ORDER BY number", (thread,))
    whole = WholeThread(
        thread=operation.thread,
        runs=[(run_of(row), records_of(connection, row[-1])) for row in runs],
        pieces=_pieces(connection, thread),
        queue=[place for place in list_queue(connection, ListQueue(operation.thread)) if place.owner is None],
        due_s=due_s,
    )
    return whole if whole.runs or whole.queue else None


def keep_thread(connection: sqlite3.Connection, operation: KeepThread) -> None:
    whole, now_s = operation.whole, operation.now_s
    found = _find(connection, whole.thread)
    if found is not None and connection.execute(_IS_THERE, (found,)).fetchone():
        raise Conflict(f"there is a thread {whole.thread.thread_id!r} of {whole.thread.workflow!r} already")
    thread = new_thread(connection, whole.thread, now_s) if found is None else found
    add_pieces(connection, thread, whole.pieces)
    pieces = {piece.id: piece for piece in whole.pieces}
    head: int | None = None
    for run, records in whole.runs:
        if connection.execute("SELECT 1 FROM clew_runs WHERE run_id = ?", (short_id(run.id),)).fetchone():
            raise _known(run.id)
        head = put_run(connection, thread, run)
        connection.executemany(
            f"INSERT INTO clew_records (run, {RECORD}) VALUES (?{', ?' * 9})",
            [(head, *row_of(record)) for record in records],
        )
        pack_run(connection, head, run, [pieces[last] for last in _last_pieces(run) if last in pieces])
    for place in whole.queue:
        if not enqueue(connection, Enqueue(place)):
            raise _known(place.id)
    connection.execute(
        "UPDATE clew_threads SET head = ?, owner = ?, epoch = epoch + 1, due_s = ?, changed_s = ? WHERE id = ?",
        (head, ELSEWHERE if whole.is_running else None, whole.due_s, now_s, thread),
    )


def _find(connection: sqlite3.Connection, thread: ThreadKey) -> int | None:
    row = connection.execute("SELECT id FROM clew_threads WHERE thread_id = ? AND workflow = ?", thread).fetchone()
    return None if row is None else int(row[0])


def _unchanged(connection: sqlite3.Connection, thread: ThreadKey, head: Run) -> int:
    """Return the row of a thread whose newest run stands as it was seen.

    Raises:
        Conflict: it does not.
    """
    row = connection.execute(
        "SELECT clew_threads.id, run_id, status, attempts FROM clew_threads JOIN clew_runs ON clew_runs.id = head "
        "WHERE thread_id = ? AND workflow = ?",
        thread,
    ).fetchone()
    if row is None or tuple(row[1:]) != version_of(head):
        raise Conflict(f"thread {thread.thread_id!r} of {thread.workflow!r} was changed by another writer meanwhile")
    return int(row[0])


def _trim(connection: sqlite3.Connection, thread: int, run_id: str) -> None:
    """Keep of a run its end alone."""
    *columns, row = connection.execute(
        f"SELECT {KEPT_RUN}, id FROM clew_runs WHERE thread = ? AND run_id = ?", (thread, short_id(run_id))
    ).fetchone()
    run = run_of(tuple(columns))  # its values may be compressed together with the input
    connection.execute(
        "UPDATE clew_runs SET input = NULL, value = ?, saved = ?, parent = ?, packed = NULL, dictionary = NULL "
        "WHERE id = ?",
        (run.value, run.saved, run.parent, row),
    )
    connection.execute("DELETE FROM clew_records WHERE run = ?", (row,))
    connection.execute("DELETE FROM clew_events WHERE run = ?", (row,))


def _remove_pieces(connection: sqlite3.Connection, thread: int, pieces: Sequence[str]) -> None:
    connection.executemany("DELETE FROM clew_pieces WHERE name = ?", [(short_id(piece),) for piece in pieces])
    connection.execute(
        f"DELETE FROM clew_chains WHERE thread = ? AND NOT EXISTS (SELECT 1 FROM clew_pieces "
        f"WHERE clew_pieces.id BETWEEN clew_chains.id << {PLACE_BITS} "
        f"AND (clew_chains.id << {PLACE_BITS}) + {_LAST_PLACE})",
        (thread,),
    )


def _places(connection: sqlite3.Connection, thread: int) -> list[tuple[str, str | None, int]]:
    """Return the pieces of a thread, each after those before it: name, name of the one before, row."""
    rows = connection.execute(
        "SELECT clew_pieces.id, name, clew_chains.before FROM clew_chains JOIN clew_pieces "
        f"ON clew_pieces.id BETWEEN clew_chains.id << {PLACE_BITS} "
        f"AND (clew_chains.id << {PLACE_BITS}) + {_LAST_PLACE} WHERE thread = ? ORDER BY clew_pieces.id",
        (thread,),
    )
    names: dict[int | None, str] = {}
    found: list[tuple[str, str | None, int]] = []
    for id, name, before in rows:
        names[id] = long_id(name)
        found.append((names[id], names.get(id - 1 if id & _LAST_PLACE else before), id))
    return found


def _pieces(connection: sqlite3.Connection, thread: int) -> list[Piece]:
    content = "SELECT count, body, is_packed FROM clew_pieces WHERE id = ?"
    pieces: list[Piece] = []
    for name, before, id in _places(connection, thread):
        count, *body = connection.execute(content, (id,)).fetchone()
        pieces.append(Piece(id=name, before=before, count=count, body=body_of(*body)))
    return pieces


def _last_pieces(run: Run) -> set[str]:
    """Return the pieces with which the lists in what a run left end; none if it cannot be read, or is encrypted."""
    try:
        return {last for frame in (run.value, run.saved) if frame for last in last_pieces(frame).values()}
    except UnreadableRecord:
        return set()


def _known(run_id: str) -> Conflict:
    return Conflict(f"there is a run {run_id!r} already, on another thread")


READS = (WalkThreads, ListPieces, LoadThread)
WORK: dict[type, Callable[[sqlite3.Connection, Any], Any]] = {
    WalkThreads: walk_threads,
    DeleteThread: delete_thread,
    ForgetDeleted: forget_deleted,
    ListPieces: list_pieces,
    Prune: prune,
    LoadThread: load_thread,
    KeepThread: keep_thread,
}
