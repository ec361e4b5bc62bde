"""A checkpointer over one SQLite file: the SQL of threads, runs and records, and nothing of what they mean."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

from msgspec.structs import replace

from clew.engine.records import Piece, Record, Run, ThreadKey
from clew.errors import Conflict
from clew.storage.base import (
    AddEvents,
    Append,
    Ask,
    Asked,
    Begin,
    Checkpointer,
    End,
    Keep,
    Lease,
    ListRuns,
    ListThreads,
    Load,
    LoadEvents,
    LoadPieces,
    LoadRecords,
    LoadUse,
    Operation,
    Renew,
    Watch,
    removed,
)
from clew.storage.opening import Opened, Setup
from clew.storage.queueing import Enqueue, FindWork, LeaveQueue, ListQueue, StayQueued
from clew.storage.sqlite import events, leases, limits, queue, upkeep
from clew.storage.sqlite.database import SqliteDatabase
from clew.storage.sqlite.ended_runs import RECORD, pack_run, row_of
from clew.storage.sqlite.items import apply_writes
from clew.storage.sqlite.journals_rows import KEPT_RUN, put_run, records_of, run_of
from clew.storage.sqlite.packing import short_id
from clew.storage.sqlite.pieces import add_pieces, load_pieces
from clew.storage.sqlite.transactions import Work

T = TypeVar("T")

_READS = frozenset(
    (
        Load, ListRuns, LoadRecords, LoadPieces, ListThreads, Watch, ListQueue, FindWork, LoadUse, LoadEvents,
        *upkeep.READS,
    )
)  # fmt: skip


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
        """Open a file for the length of a `with` or `async with` block.

        Args:
            where: the path of the file, or ":memory:".
        """
        return Opened(lambda: cls(where))

    def setup(self) -> Setup:
        """Do nothing: the tables are made and migrated by themselves. May be awaited, and called at any time."""
        return Setup()

    def execute(self, operation: Operation[T]) -> T:
        nothing_asked: Any = None
        record_alone = _record_alone(operation)
        if record_alone is not None and self.database.write_at_once(record_alone):
            return nothing_asked  # type: ignore[no-any-return]
        work = _WORK[type(operation)]
        run = self.database.read if type(operation) in _READS else self.database.write
        result: T = run(lambda connection: work(connection, operation))
        return result

    async def aexecute(self, operation: Operation[T]) -> T:
        nothing_asked: Any = None
        record_alone = _record_alone(operation)
        if record_alone is not None and await self.database.awrite_at_once(record_alone):
            return nothing_asked  # type: ignore[no-any-return]
        work = _WORK[type(operation)]
        if type(operation) is Load:  # one row
            run = self.database.aglance
        else:
            run = self.database.aread if type(operation) in _READS else self.database.awrite
        result: T = await run(lambda connection: work(connection, operation))
        return result

    def close(self) -> None:
        if self._owns_database:
            self.database.close()


def _record_alone(operation: Operation[Any]) -> Work[bool] | None:
    """Give the one statement by which a record is kept that comes alone, as nearly all do; None for everything else."""
    if type(operation) is not Append or operation.end is not None or not operation.records or operation.records[1:]:
        return None
    # As Append.is_of_records does, without a call of its own for each recorded task.
    if operation.writes or operation.replaces or operation.also or operation.pieces:
        return None
    return partial(_add_record, operation.lease, operation.records[0])


def _load(connection: sqlite3.Connection, operation: Load) -> Run | None:
    which = "clew_runs.id = head" if operation.run_id is None else "run_id = ?3"
    row = connection.execute(
        f"SELECT {KEPT_RUN} FROM clew_threads JOIN clew_runs ON thread = clew_threads.id "
        f"WHERE thread_id = ?1 AND workflow = ?2 AND {which}",
        operation.thread if operation.run_id is None else (*operation.thread, short_id(operation.run_id)),
    ).fetchone()
    return run_of(row) if row else None


def _list_runs(connection: sqlite3.Connection, operation: ListRuns) -> list[Run]:
    rows = connection.execute(
        f"SELECT {KEPT_RUN} FROM clew_runs WHERE number < ?3 "
        "AND thread = (SELECT id FROM clew_threads WHERE thread_id = ?1 AND workflow = ?2) "
        "ORDER BY number DESC LIMIT ?4",
        (
            *operation.thread,
            2**62 if operation.before is None else operation.before,
            -1 if operation.limit is None else operation.limit,
        ),
    )
    return [run_of(row) for row in rows]


def _load_records(connection: sqlite3.Connection, operation: LoadRecords) -> list[Record]:
    which = (short_id(operation.run_id),)
    run = connection.execute("SELECT id FROM clew_runs WHERE run_id = ?", which).fetchone()
    records = records_of(connection, run[0]) if run else []
    return records if operation.name is None else [record for record in records if record.name == operation.name]


def _list_threads(connection: sqlite3.Connection, operation: ListThreads) -> list[ThreadKey]:
    rows = connection.execute(
        "SELECT thread_id, workflow FROM clew_threads WHERE head IS NOT NULL AND (?1 IS NULL OR workflow = ?1) "
        "ORDER BY changed_s DESC, id DESC LIMIT ?2",
        (operation.workflow, operation.limit),
    )
    return [ThreadKey(*row) for row in rows]


def _begin(connection: sqlite3.Connection, operation: Begin) -> Lease:
    thread, has_queue = leases.claimed_thread(
        connection, operation.thread, operation.head, operation.now_s, operation.evicts
    )
    if has_queue and (operation.head is None or operation.head.id != operation.run.id):
        queue.check_first(connection, thread, operation)
    limits.check_limit(connection, thread, operation)
    if operation.queued is not None:
        queue.leave_with(connection, thread, operation)
    _check_given(connection, thread, operation.thread, operation.run, operation.head)
    run = put_run(connection, thread, operation.run)
    (epoch,) = connection.execute(
        "UPDATE clew_threads SET head = ?, epoch = epoch + 1, owner = ?, until_s = ?, "
        "asked = CASE WHEN ? AND asked = 'cancel' THEN asked END, due_s = NULL, changed_s = ? WHERE id = ? "
        "RETURNING epoch",
        (run, operation.owner, operation.until_s, operation.takes_over, operation.now_s, thread),
    ).fetchone()
    for record in operation.records:
        connection.execute(
            f"INSERT OR REPLACE INTO clew_records (run, {RECORD}) VALUES (?{', ?' * 9})", (run, *row_of(record))
        )
    return Lease(operation.thread, operation.run.id, epoch, (thread, run))


_INSERT_RECORD = f"INSERT INTO clew_records (run, {RECORD}) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
_INSERT_UNLESS_ASKED = (
    f"{_INSERT_RECORD} WHERE EXISTS (SELECT 1 FROM clew_threads WHERE id = ? AND epoch = ? AND asked IS NULL)"
)


def _append(connection: sqlite3.Connection, operation: Append) -> Asked | None:
    lease, end = operation.lease, operation.end
    thread, run = lease.handle
    asked = None
    if not operation.records and end is None:
        asked = leases.asked_of(connection, lease)  # else keeping these sees whether the lease is held
    for key in operation.replaces:
        connection.execute("DELETE FROM clew_records WHERE run = ? AND key = ?", (run, key))
    for record in operation.records:
        if not _add_record(lease, record, connection):
            asked = leases.asked_of(connection, lease)
            _add_record(lease, record, connection, also_if_asked=True)
    if operation.writes:
        apply_writes(connection, operation.writes)
    for nested in operation.also:
        _keep(connection, nested)
    if operation.pieces:
        add_pieces(connection, thread, operation.pieces)
    if end is None:
        return asked
    _end(connection, lease, end, operation.pieces)
    return None


def _add_record(lease: Lease, record: Record, connection: sqlite3.Connection, *, also_if_asked: bool = False) -> bool:
    """Keep a record if the lease is held and nothing is asked of the run; say whether that is so.

    With `also_if_asked` whoever calls has seen that the lease is held.
    """
    thread, run = lease.handle
    row = (run, *row_of(record))
    try:
        if also_if_asked:
            added = connection.execute(_INSERT_RECORD, row)
        else:
            added = connection.execute(_INSERT_UNLESS_ASKED, (*row, thread, lease.epoch))
    except sqlite3.IntegrityError as error:
        raise Conflict(f"call {record.key!r} of run {lease.run_id} was recorded by another writer") from error
    return added.rowcount > 0


def _end(connection: sqlite3.Connection, lease: Lease, end: End, pieces: Sequence[Piece]) -> None:
    thread, run = lease.handle
    given_back = connection.execute(
        "UPDATE clew_threads SET owner = NULL, until_s = 0, due_s = ?, changed_s = ? WHERE id = ? AND epoch = ?",
        (end.due_s, end.ended_s, thread, lease.epoch),
    ).rowcount
    if not given_back:
        raise leases.fenced_off(lease)
    if end.removes:
        _remove_head(connection, thread, run)
        return
    for key in end.reopened:
        connection.execute("UPDATE clew_records SET state = 'reopened' WHERE run = ? AND key = ?", (run, key))
    if pack_run(connection, run, end, pieces):
        end = replace(end, value=None, saved=None)
    connection.execute(
        "UPDATE clew_runs SET status = ?, value = ?, saved = ?, error = ?, questions = ?, ended_s = ? WHERE id = ?",
        (end.status, end.value, end.saved, end.error, end.questions, end.ended_s, run),
    )


def _remove_head(connection: sqlite3.Connection, thread: int, run: int) -> None:
    connection.execute("DELETE FROM clew_runs WHERE id = ?", (run,))
    connection.execute(
        "UPDATE clew_threads SET head = (SELECT id FROM clew_runs WHERE thread = ?1 ORDER BY number DESC LIMIT 1) "
        "WHERE id = ?1",
        (thread,),
    )


def _keep(connection: sqlite3.Connection, operation: Keep) -> Run:
    if operation.regardless:
        thread = leases.made_thread(connection, operation.thread, operation.now_s)
    else:
        thread, _ = leases.claimed_thread(
            connection, operation.thread, operation.head, operation.now_s, operation.evicts
        )
    _check_given(connection, thread, operation.thread, operation.run, operation.head)
    return _keep_as_head(connection, thread, operation.run, operation.pieces)


def _check_given(connection: sqlite3.Connection, row: int, thread: ThreadKey, run: Run, head: Run | None) -> None:
    """Refuse a new run if what it was given as `previous` was removed meanwhile.

    Raises:
        Conflict: it was.
    """
    if run.previous is None or (head is not None and head.id in (run.id, run.previous)):
        return
    given = "SELECT 1 FROM clew_runs WHERE thread = ? AND run_id = ?"
    if not connection.execute(given, (row, short_id(run.previous))).fetchone():
        raise removed(thread, run)


def _keep_as_head(connection: sqlite3.Connection, thread: int, run: Run, pieces: Sequence[Piece]) -> Run:
    (number,) = connection.execute(
        "SELECT coalesce(max(number) + 1, 0) FROM clew_runs WHERE thread = ?", (thread,)
    ).fetchone()
    run = replace(run, number=number)
    row = put_run(connection, thread, run)
    add_pieces(connection, thread, pieces)
    pack_run(connection, row, run, pieces)
    connection.execute(
        "UPDATE clew_threads SET head = ?, epoch = epoch + 1, owner = NULL, until_s = 0, asked = NULL, due_s = NULL, "
        "changed_s = ? WHERE id = ?",
        (row, run.created_s, thread),
    )
    return run


_WORK: dict[type, Callable[[sqlite3.Connection, Any], Any]] = {
    Load: _load,
    ListRuns: _list_runs,
    LoadRecords: _load_records,
    LoadPieces: load_pieces,
    ListThreads: _list_threads,
    Begin: _begin,
    Append: _append,
    Renew: leases.renew,
    Watch: leases.watch,
    Ask: leases.ask,
    Enqueue: queue.enqueue,
    StayQueued: queue.stay_queued,
    LeaveQueue: queue.leave_queue,
    ListQueue: queue.list_queue,
    FindWork: queue.find_work,
    LoadUse: limits.load_use,
    AddEvents: events.add_events,
    LoadEvents: events.load_events,
    Keep: _keep,
    **upkeep.WORK,
}
