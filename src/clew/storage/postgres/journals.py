"""A checkpointer over one schema of a PostgreSQL database: which operation is a call, a transaction or a look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from clew.engine.records import Piece, Record, Run, ThreadKey
from clew.errors import UnreadableRecord
from clew.storage.base import (
    AddEvents,
    Append,
    Ask,
    Begin,
    Checkpointer,
    DeleteThread,
    Keep,
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
)
from clew.storage.opening import Opened, Setup
from clew.storage.postgres import appending, events, leases, limits, queue, upkeep
from clew.storage.postgres.calls import BIG, TEXT, Call, Found, Function
from clew.storage.postgres.database import PostgresDatabase
from clew.storage.postgres.journals_rows import RECORD, RUN, RUN_COLUMNS, THREAD, records_of, run_of
from clew.storage.postgres.statements import rows
from clew.storage.postgres.transactions import Kind
from clew.storage.queueing import Enqueue, FindWork, LeaveQueue, ListQueue, StayQueued
from clew.storage.upkeep import ForgetDeleted, KeepThread, ListPieces, LoadThread, Prune, WalkThreads

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import ConnectionPool

T = TypeVar("T")


class PostgresSaver(Checkpointer):
    """Keeps threads in a PostgreSQL database, sync and async on the same object.

    Args:
        where: an address, "postgresql://user:password@host:5432/name"; a psycopg_pool.ConnectionPool, which stays the
            caller's; or a PostgresDatabase that it shares.
        schema: see PostgresDatabase; only with an address or a pool.

    Raises:
        InvalidOption, MissingDependency: see PostgresDatabase.
    """

    database: PostgresDatabase

    def __init__(self, where: str | ConnectionPool[Any] | PostgresDatabase, *, schema: str = "public") -> None:
        self._owns_database = not isinstance(where, PostgresDatabase)
        self.database = where if isinstance(where, PostgresDatabase) else PostgresDatabase(where, schema=schema)

    @classmethod
    def from_conn_string(cls, where: str, *, schema: str = "public") -> Opened[PostgresSaver]:
        """Open a database for the length of a `with` or `async with` block.

        Args:
            where: its address.
            schema: what holds the tables.
        """
        return Opened(lambda: cls(where, schema=schema))

    def setup(self) -> Setup:
        """Make the tables now rather than at the first use. May be awaited, and called at any time."""
        self.database.setup()
        return Setup()

    def execute(self, operation: Operation[T]) -> T:
        result: T
        if isinstance(operation, Load):
            result = self.database.look(_load(operation))
        elif call := _call(operation):
            result = self.database.call(call)
        else:
            result = self.database.transact(_kind(operation), partial(_work, operation))
        return result

    async def aexecute(self, operation: Operation[T]) -> T:
        result: T
        if isinstance(operation, Load):
            result = await self.database.alook(_load(operation))
        elif call := _call(operation):
            result = await self.database.acall(call)
        else:
            result = await self.database.atransact(_kind(operation), partial(_work, operation))
        return result

    def close(self) -> None:
        if self._owns_database:
            self.database.close()


def _call(operation: Operation[Any]) -> Call[Any] | None:
    """Return the call that does an operation in one round trip, if there is one."""
    match operation:
        case Begin():
            return leases.begin(operation)
        case Append() if appending.is_plain(operation):
            return appending.append(operation)
        case Renew():
            return leases.renew(operation)
        case AddEvents():
            return events.add_events(operation)
        case Enqueue():
            return queue.enqueue(operation)
        case _:
            return None


def _kind(operation: Operation[Any]) -> Kind:
    """Return which transaction carries out an operation for which there is no call."""
    if type(operation) in _ONE_STATEMENT:
        return "glance"
    return "read" if type(operation) in _READS else "write"


def _work(operation: Operation[T], connection: psycopg.Connection) -> T:
    done: T = _WORK[type(operation)](connection, operation)
    return done


_LOAD = Function("clew_load", (BIG, TEXT, TEXT, TEXT), place=0, gives=(BIG, *RUN_COLUMNS))


def _load(operation: Load) -> Call[Any]:
    token = id(operation)  # unlike that of any other that is under way

    def found_run(found: Mapping[Function, Found]) -> Run | None:
        row = found[_LOAD].get(token)
        return None if row is None else run_of(row)

    return Call({_LOAD: [(token, *operation.thread, operation.run_id)]}, found_run)


def _list_runs(connection: psycopg.Connection, operation: ListRuns) -> list[Run]:
    found = rows(
        connection,
        f"SELECT {RUN} FROM clew_runs WHERE thread = {THREAD} AND number < %s ORDER BY number DESC LIMIT %s",
        (*operation.thread, 2**31 - 1 if operation.before is None else operation.before, operation.limit),
    )
    return [run_of(row) for row in found]


def _load_records(connection: psycopg.Connection, operation: LoadRecords) -> list[Record]:
    which = "" if operation.name is None else " AND name = %s"
    found = rows(
        connection,
        f"SELECT {RECORD} FROM clew_records WHERE run = (SELECT id FROM clew_runs WHERE run_id = %s){which} "
        "ORDER BY id",
        (operation.run_id,) if operation.name is None else (operation.run_id, operation.name),
    )
    return records_of(found)


# The chain of a piece up to it, and, by what is before its first piece, the chains that it goes on from. These began
# earlier; one that did not is given once, as damaged.
_PIECES = """
WITH RECURSIVE last (chain, place, is_damaged) AS (
    SELECT chain, place, false FROM clew_pieces WHERE name = %s
    UNION ALL
    SELECT piece.chain, piece.place, piece.chain >= last.chain
    FROM last JOIN clew_pieces AS first ON first.chain = last.chain AND first.place = 0
        JOIN clew_pieces AS piece ON piece.name = first.before
    WHERE NOT last.is_damaged
)
SELECT part.name, part.before, part.count, part.body, last.is_damaged
FROM last JOIN clew_pieces AS part ON part.chain = last.chain AND part.place <= last.place
ORDER BY part.chain, part.place
"""


def _load_pieces(connection: psycopg.Connection, operation: LoadPieces) -> list[Piece]:
    found = rows(connection, _PIECES, (operation.last,))
    if any(row[4] for row in found):
        raise UnreadableRecord("a saved list is damaged: a chain of its pieces follows one that began after it")
    return [Piece(id=row[0], before=row[1], count=row[2], body=row[3]) for row in found]


def _list_threads(connection: psycopg.Connection, operation: ListThreads) -> list[ThreadKey]:
    which = "" if operation.workflow is None else " AND workflow = %s"
    found = rows(
        connection,
        f"SELECT thread_id, workflow FROM clew_threads WHERE head IS NOT NULL{which} "
        "ORDER BY changed_s DESC, id DESC LIMIT %s",
        (operation.limit,) if operation.workflow is None else (operation.workflow, operation.limit),
    )
    return [ThreadKey(*row) for row in found]


_ONE_STATEMENT = (
    ListRuns, LoadRecords, LoadPieces, ListThreads, Watch, ListQueue, FindWork, LoadEvents, WalkThreads, ListPieces,
)  # fmt: skip
_READS = (LoadThread, LoadUse)
_WORK: dict[type, Callable[[psycopg.Connection, Any], Any]] = {
    ListRuns: _list_runs,
    LoadRecords: _load_records,
    LoadPieces: _load_pieces,
    ListThreads: _list_threads,
    Keep: appending.keep,
    Watch: leases.watch,
    Ask: leases.ask,
    StayQueued: queue.stay_queued,
    LeaveQueue: queue.leave_queue,
    ListQueue: queue.list_queue,
    FindWork: queue.find_work,
    LoadUse: limits.load_use,
    LoadEvents: events.load_events,
    WalkThreads: upkeep.walk_threads,
    DeleteThread: upkeep.delete_thread,
    ForgetDeleted: upkeep.forget_deleted,
    ListPieces: upkeep.list_pieces,
    Prune: upkeep.prune,
    LoadThread: upkeep.load_thread,
    Append: appending.append_more,
    KeepThread: upkeep.keep_thread,
}

AsyncPostgresSaver = PostgresSaver
