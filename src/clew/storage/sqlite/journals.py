"""A checkpointer over one SQLite file: the SQL of threads, runs and records, and nothing of what they mean."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from msgspec.structs import replace

from clew.engine.records import Piece, Record, Run, ThreadKey
from clew.errors import Conflict, ThreadBusy
from clew.storage.base import (
    Append,
    Begin,
    Checkpointer,
    DeleteThread,
    End,
    Keep,
    Lease,
    ListRuns,
    ListThreads,
    Load,
    LoadPieces,
    LoadRecords,
    Operation,
    Renew,
    first_epoch,
)
from clew.storage.opening import Opened, Setup
from clew.storage.sqlite.database import SqliteDatabase
from clew.storage.sqlite.items import apply_writes

T = TypeVar("T")

_RUN = (
    "run_id, number, source, parent, previous, step, status, input, value, saved, error, questions, metadata, "
    "created_s, ended_s, attempts, crashes"
)
_RECORD = "key, name, fingerprint, arguments, state, outcome, attempts, started_s, ended_s"
_READS = (Load, ListRuns, LoadRecords, LoadPieces, ListThreads)


class SqliteSaver(Checkpointer):
    """Keeps threads in a SQLite file.

    Args:
        where: path of the file (":memory:" for one that lives in this object), or an open SqliteDatabase.
        synchronous: see SqliteDatabase; only with a path.

    Raises:
        Unavailable, SchemaMismatch: see SqliteDatabase.
    """

    database: SqliteDatabase

    def __init__(
        self,
        where: str | os.PathLike[str] | SqliteDatabase = ":memory:",
        *,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
    ) -> None:
        shared = isinstance(where, SqliteDatabase)
        self.database = where if isinstance(where, SqliteDatabase) else SqliteDatabase(where, synchronous=synchronous)
        self._owns_database = not shared

    @classmethod
    def from_conn_string(cls, where: str | os.PathLike[str]) -> Opened[SqliteSaver]:
        """Open a file for the length of a `with` or `async with` block."""
        return Opened(lambda: cls(where))

    def setup(self) -> Setup:
        """Do nothing: the tables are made and migrated by themselves. May be awaited, and called at any time."""
        return Setup()

    def execute(self, operation: Operation[T]) -> T:
        work = _WORK[type(operation)]
        run = self.database.read if isinstance(operation, _READS) else self.database.write
        result: T = run(lambda connection: work(connection, operation))
        return result

    async def aexecute(self, operation: Operation[T]) -> T:
        work = _WORK[type(operation)]
        run = self.database.aread if isinstance(operation, _READS) else self.database.awrite
        result: T = await run(lambda connection: work(connection, operation))
        return result

    def close(self) -> None:
        if self._owns_database:
            self.database.close()


def _load(connection: sqlite3.Connection, operation: Load) -> Run | None:
    which = "clew_runs.id = head" if operation.run_id is None else "run_id = ?3"
    row = connection.execute(
        f"SELECT {_RUN} FROM clew_threads JOIN clew_runs ON thread = clew_threads.id "
        f"WHERE thread_id = ?1 AND workflow = ?2 AND {which}",
        operation.thread if operation.run_id is None else (*operation.thread, operation.run_id),
    ).fetchone()
    return _run(row) if row else None


def _list_runs(connection: sqlite3.Connection, operation: ListRuns) -> list[Run]:
    rows = connection.execute(
        f"SELECT {_RUN} FROM clew_runs WHERE number < ?3 "
        "AND thread = (SELECT id FROM clew_threads WHERE thread_id = ?1 AND workflow = ?2) "
        "ORDER BY number DESC LIMIT ?4",
        (
            *operation.thread,
            2**62 if operation.before is None else operation.before,
            -1 if operation.limit is None else operation.limit,
        ),
    )
    return [_run(row) for row in rows]


def _load_records(connection: sqlite3.Connection, operation: LoadRecords) -> list[Record]:
    rows = connection.execute(
        f"SELECT {_RECORD} FROM clew_records WHERE run = (SELECT id FROM clew_runs WHERE run_id = ?1) "
        "AND (?2 IS NULL OR name = ?2) ORDER BY id",
        (operation.run_id, operation.name),
    )
    return [_record(row) for row in rows]


_CHAIN = """
WITH RECURSIVE chain (place, name, before, count, body) AS (
    SELECT 0, name, before, count, body FROM clew_pieces WHERE name = ?
    UNION ALL
    SELECT place + 1, older.name, older.before, older.count, older.body
    FROM chain JOIN clew_pieces AS older ON older.name = chain.before
)
SELECT name, before, count, body FROM chain ORDER BY place DESC
"""


def _load_pieces(connection: sqlite3.Connection, operation: LoadPieces) -> list[Piece]:
    rows = connection.execute(_CHAIN, (operation.last,))
    return [Piece(id=row[0], before=row[1], count=row[2], body=row[3]) for row in rows]


def _list_threads(connection: sqlite3.Connection, operation: ListThreads) -> list[ThreadKey]:
    rows = connection.execute(
        "SELECT thread_id, workflow FROM clew_threads WHERE head IS NOT NULL AND (?1 IS NULL OR workflow = ?1) "
        "ORDER BY changed_s DESC, id DESC LIMIT ?2",
        (operation.workflow, operation.limit),
    )
    return [ThreadKey(*row) for row in rows]


def _begin(connection: sqlite3.Connection, operation: Begin) -> Lease:
    thread = _claimed_thread(connection, operation.thread, operation.head, operation.now_s, operation.evicts)
    run = _put_run(connection, thread, operation.run)
    (epoch,) = connection.execute(
        "UPDATE clew_threads SET head = ?, epoch = epoch + 1, owner = ?, until_s = ?, changed_s = ? WHERE id = ? "
        "RETURNING epoch",
        (run, operation.owner, operation.until_s, operation.now_s, thread),
    ).fetchone()
    for record in operation.records:
        connection.execute(
            f"INSERT OR REPLACE INTO clew_records (run, {_RECORD}) VALUES (?{', ?' * 9})", (run, *_columns(record))
        )
    return Lease(operation.thread, operation.run.id, epoch, (thread, run))


def _claimed_thread(
    connection: sqlite3.Connection, thread: ThreadKey, head: Run | None, now_s: float, evicts: str | None
) -> int:
    """Return the id of the thread, made if it is missing, if nobody holds it and its head stands as it was seen."""
    row = connection.execute(
        "SELECT clew_threads.id, owner, until_s, run_id, status, attempts "
        "FROM clew_threads LEFT JOIN clew_runs ON clew_runs.id = head WHERE thread_id = ? AND workflow = ?",
        thread,
    ).fetchone()
    if row is None:
        row = (_new_thread(connection, thread, now_s), None, 0, None, None, None)
    id, owner, until_s, *version = row
    if owner is not None and until_s > now_s and owner != evicts:
        raise ThreadBusy(f"another run holds thread {thread.thread_id!r} of {thread.workflow!r}", owner)
    if tuple(version) != ((None, None, None) if head is None else head.version):
        raise Conflict(f"thread {thread.thread_id!r} of {thread.workflow!r} was changed by another writer meanwhile")
    return int(id)


def _new_thread(connection: sqlite3.Connection, thread: ThreadKey, now_s: float) -> int:
    cursor = connection.execute(
        "INSERT INTO clew_threads (thread_id, workflow, epoch, changed_s) VALUES (?, ?, ?, ?)",
        (*thread, first_epoch(now_s), now_s),
    )
    return int(cursor.lastrowid or 0)


def _put_run(connection: sqlite3.Connection, thread: int, run: Run) -> int:
    """Keep a run; one that is kept already changes only in what may change."""
    (id,) = connection.execute(
        f"INSERT INTO clew_runs (thread, {_RUN}) VALUES (?{', ?' * 17}) ON CONFLICT (run_id) DO UPDATE SET "
        "status = excluded.status, questions = excluded.questions, error = excluded.error, "
        "attempts = excluded.attempts, crashes = excluded.crashes, ended_s = excluded.ended_s RETURNING id",
        (
            thread, run.id, run.number, run.source, run.parent, run.previous, run.step, run.status, run.input,
            run.value, run.saved, run.error, run.questions, run.metadata, run.created_s, run.ended_s, run.attempts,
            run.crashes,
        ),
    ).fetchone()  # fmt: skip
    return int(id)


_INSERT_RECORD = (
    f"INSERT INTO clew_records (run, {_RECORD}) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ? "
    "WHERE EXISTS (SELECT 1 FROM clew_threads WHERE id = ? AND epoch = ?)"
)


_INSERT_PIECE = "INSERT INTO clew_pieces (name, thread, before, count, body) VALUES (?, ?, ?, ?, ?)"


def _append(connection: sqlite3.Connection, operation: Append) -> None:
    lease = operation.lease
    thread, run = lease.handle
    if not operation.records and operation.end is None:
        _check_held(connection, lease)  # else keeping these does it
    for key in operation.replaces:
        connection.execute("DELETE FROM clew_records WHERE run = ? AND key = ?", (run, key))
    for record in operation.records:
        try:
            added = connection.execute(_INSERT_RECORD, (run, *_columns(record), thread, lease.epoch)).rowcount
        except sqlite3.IntegrityError as error:
            raise Conflict(f"call {record.key!r} of run {lease.run_id} was recorded by another writer") from error
        if not added:
            raise _fenced_off(lease)
    for piece in operation.pieces:
        connection.execute(_INSERT_PIECE, (piece.id, thread, piece.before, piece.count, piece.body))
    if operation.writes:
        apply_writes(connection, operation.writes)
    for nested_thread, nested_run in operation.also:
        _keep_nested(connection, nested_thread, nested_run)
    if operation.end is not None:
        _end(connection, lease, operation.end)


def _check_held(connection: sqlite3.Connection, lease: Lease) -> None:
    held = "SELECT 1 FROM clew_threads WHERE id = ? AND epoch = ?"
    if not connection.execute(held, (lease.handle[0], lease.epoch)).fetchone():
        raise _fenced_off(lease)


def _end(connection: sqlite3.Connection, lease: Lease, end: End) -> None:
    thread, run = lease.handle
    for key in end.reopened:
        connection.execute("UPDATE clew_records SET state = 'reopened' WHERE run = ? AND key = ?", (run, key))
    connection.execute(
        "UPDATE clew_runs SET status = ?, value = ?, saved = ?, error = ?, questions = ?, ended_s = ? WHERE id = ?",
        (end.status, end.value, end.saved, end.error, end.questions, end.ended_s, run),
    )
    given_back = connection.execute(
        "UPDATE clew_threads SET owner = NULL, until_s = 0, changed_s = ? WHERE id = ? AND epoch = ?",
        (end.ended_s, thread, lease.epoch),
    ).rowcount
    if not given_back:
        raise _fenced_off(lease)


def _renew(connection: sqlite3.Connection, operation: Renew) -> None:
    lease = operation.lease
    if not connection.execute(
        "UPDATE clew_threads SET until_s = ? WHERE id = ? AND epoch = ?",
        (operation.until_s, lease.handle[0], lease.epoch),
    ).rowcount:
        raise _fenced_off(lease)


def _keep(connection: sqlite3.Connection, operation: Keep) -> Run:
    thread = _claimed_thread(connection, operation.thread, operation.head, operation.now_s, operation.evicts)
    return _keep_as_head(connection, thread, operation.run)


def _keep_nested(connection: sqlite3.Connection, thread: ThreadKey, run: Run) -> None:
    row = connection.execute("SELECT id FROM clew_threads WHERE thread_id = ? AND workflow = ?", thread).fetchone()
    _keep_as_head(connection, row[0] if row else _new_thread(connection, thread, run.created_s), run)


def _keep_as_head(connection: sqlite3.Connection, thread: int, run: Run) -> Run:
    (number,) = connection.execute(
        "SELECT coalesce(max(number) + 1, 0) FROM clew_runs WHERE thread = ?", (thread,)
    ).fetchone()
    run = replace(run, number=number)
    connection.execute(
        "UPDATE clew_threads SET head = ?, epoch = epoch + 1, owner = NULL, until_s = 0, changed_s = ? WHERE id = ?",
        (_put_run(connection, thread, run), run.created_s, thread),
    )
    return run


def _delete_thread(connection: sqlite3.Connection, operation: DeleteThread) -> int:
    (count,) = connection.execute(
        "SELECT count(*) FROM clew_runs JOIN clew_threads ON thread = clew_threads.id WHERE thread_id = ?",
        (operation.thread_id,),
    ).fetchone()
    connection.execute("DELETE FROM clew_threads WHERE thread_id = ?", (operation.thread_id,))
    return int(count)


_WORK: dict[type, Callable[[sqlite3.Connection, Any], Any]] = {
    Load: _load,
    ListRuns: _list_runs,
    LoadRecords: _load_records,
    LoadPieces: _load_pieces,
    ListThreads: _list_threads,
    Begin: _begin,
    Append: _append,
    Renew: _renew,
    Keep: _keep,
    DeleteThread: _delete_thread,
}


def _run(row: tuple[Any, ...]) -> Run:
    return Run(
        id=row[0], number=row[1], source=row[2], parent=row[3], previous=row[4], step=row[5], status=row[6],
        input=row[7], value=row[8], saved=row[9], error=row[10], questions=row[11], metadata=row[12],
        created_s=row[13], ended_s=row[14], attempts=row[15], crashes=row[16],
    )  # fmt: skip


def _record(row: tuple[Any, ...]) -> Record:
    return Record(
        key=row[0], name=row[1], fingerprint=row[2], arguments=row[3], state=row[4], outcome=row[5], attempts=row[6],
        started_s=row[7], ended_s=row[8],
    )  # fmt: skip


def _columns(record: Record) -> tuple[Any, ...]:
    return (
        record.key, record.name, record.fingerprint, record.arguments, record.state, record.outcome, record.attempts,
        record.started_s, record.ended_s,
    )  # fmt: skip


def _fenced_off(lease: Lease) -> Conflict:
    return Conflict(
        f"thread {lease.thread.thread_id!r} of {lease.thread.workflow!r} was taken over by another run while run "
        f"{lease.run_id} was away (epoch {lease.epoch}); nothing of this write was kept"
    )
