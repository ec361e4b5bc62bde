"""One SQLite file: connections, transactions and migrations.

It knows nothing of threads, runs or memories: journals and items hand it functions of a connection.

Writing: SQLite allows one writer at a time, so whoever gets the process's write lock commits for all who wait
(group commit). An uncontended blocking write commits on the caller's own thread; async writes are committed by one
writer thread, off the event loop. Reading: each OS thread has its own connection and never waits for a writer (WAL).
"""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Generator, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from clew.errors import Unavailable, UsageError
from clew.late import late
from clew.storage import processes
from clew.storage.group_commit import GroupCommit, Waiting
from clew.storage.pace import Pace, others_first
from clew.storage.sqlite.connections import Connection, connect, file_id
from clew.storage.sqlite.failing import errors, translated
from clew.storage.sqlite.migrations import migrate
from clew.storage.sqlite.rings import Admission
from clew.storage.sqlite.transactions import (
    Work,
    begin_at_once,
    carry_out_all,
    carry_out_each,
    look,
    take_back,
    transact,
    unless_busy,
)

if TYPE_CHECKING:
    import asyncio

    from clew.storage import uncancelled
else:
    late(globals(), "asyncio", "clew.storage.uncancelled")

T = TypeVar("T")

_MOST_PER_COMMIT = 256
_CHECK_EVERY_S = 0.001  # whether the file is still there: to ask costs half as much as to commit a record


class SqliteDatabase:
    """A SQLite file (or ":memory:") that many OS threads, loops and processes use at once.

    Args:
        path: the file, made when missing, and its tables when first used; ":memory:" for one that lives in this object.
        synchronous: "FULL" survives a power cut with everything that was recorded; "NORMAL" may lose the last
            commits then (never the file's consistency) and is faster on disks with slow flushes.

    Raises:
        Unavailable: the file cannot be opened, read or written; or, later, it is no longer the one that was opened.
        SchemaMismatch: the file is no SQLite database, or a newer clew wrote it.
    """

    def __init__(self, path: str | os.PathLike[str], *, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> None:
        if synchronous not in ("FULL", "NORMAL"):
            raise UsageError(f"synchronous must be 'FULL' or 'NORMAL', not {synchronous!r}")
        if not isinstance(path, str | os.PathLike):
            raise UsageError(f"SQLite files are opened by clew itself, so pass the path of the file, not {path!r}")
        self.in_memory = os.fspath(path) == ":memory:"
        # The same one wherever the process goes.
        self.path = os.fspath(path) if self.in_memory else os.path.abspath(path)
        self._synchronous = synchronous
        self._open_lock = threading.Lock()
        self._writer: Connection | None = None
        self._local = threading.local()
        self._readers: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._workers: ThreadPoolExecutor | None = None
        self._closed = False
        self._check_at_s = 0.0
        self._commits, self._glances = Pace(), Pace()
        self._one_on_loop = False
        self._admission = Admission()
        self._process = processes.here
        self._writes = self._new_group()
        self._connect_first()
        #: Equal for objects that keep their data in the same place, so that one may commit for the other.
        self.identity: Hashable = self if self.in_memory else file_id(self.path)
        processes.pause_at_forks(self)

    def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction and return what it returns, once that is committed.

        Raises:
            StorageError: nothing of this work was kept.
            Whatever `work` raises: its changes are rolled back.
        """
        writes = self._group()
        if writes.is_free():
            try:
                with writes.lock:  # nobody else writes: no queue, no batch
                    return transact(self._connect_writer(), work)
            except sqlite3.Error as error:
                raise translated(error, self.path) from error
            finally:
                writes.go_on()
        value: T = writes.run(work)
        return value

    def write_at_once(self, work: Work[T], *, waits: bool = True) -> T | None:
        """Run `work`, which makes one statement and so is a transaction by itself, if nobody else writes just now.

        The tables of that statement are there. It raises what `write` raises.

        Args:
            waits: for another process that writes.

        Returns:
            what it returns, once that is committed; None if it was not run.
        """
        # What _group and _connect_writer do, without a call of its own for each recorded task.
        writes = self._writes if self._process == processes.here and not self._closed else self._group()
        if not writes.is_free():
            return None
        try:
            with writes.lock:
                if time.monotonic() >= self._check_at_s:
                    self._check_file()
                connection = self._writer or self._connect_first()
                if connection.in_transaction:
                    take_back(connection)
                if not waits:
                    return unless_busy(connection, work)
                if not connection.is_patient:
                    connection.wait_for_others(True)
                return work(connection)
        except sqlite3.Error as error:
            raise translated(error, self.path) from error
        finally:
            writes.go_on()

    async def awrite_at_once(self, work: Work[T]) -> T | None:
        """Like `write_at_once`, on the event loop, while commits are quick and nobody else on it has just made one.

        A caller that is cancelled meanwhile learns of it at its next await.
        """
        if self._writer is None or self._one_on_loop or not self._commits.is_quick():
            return None
        self._one_on_loop = True
        done: T | None = None
        try:
            done = self._commits.measured(self.write_at_once, work, waits=False)
            if self._commits.is_others_turn():
                await others_first()  # whoever else has something to commit comes now, and they commit together
        except asyncio.CancelledError:
            uncancelled.cancel_at_next_await()
        finally:
            self._one_on_loop = False
        return done

    async def awrite(self, work: Work[T]) -> T:
        """Like `write`, off the event loop. A caller that is cancelled meanwhile learns of it at its next await."""
        value: T = await self._group().arun(work)
        return value

    def read(self, work: Work[T]) -> T:
        """Run `work` on one consistent state of the database and return what it returns."""

        def in_a_transaction(connection: sqlite3.Connection) -> T:
            try:
                connection.execute("BEGIN")
                return work(connection)
            finally:
                take_back(connection)  # there is nothing to commit

        return self.glance(work if self.in_memory else in_a_transaction)

    def glance(self, work: Work[T]) -> T:
        """Run `work`, which makes one statement and so sees one consistent state by itself, and return its result."""
        if self.in_memory:
            with self._group().alone(), errors(self.path):
                return look(self._connect_writer(), work)
        while True:
            connection = self._connect_reader()
            try:
                with connection.in_use:
                    of_this_thread: object = getattr(self._local, "connection", None)
                    if connection is of_this_thread:  # else it was closed meanwhile
                        return look(connection, work)
            except sqlite3.Error as error:
                raise translated(error, self.path) from error

    async def aglance(self, work: Work[T]) -> T:
        """Like `glance`, off the event loop unless such reads take less than the way there."""
        if self.in_memory or not self._glances.is_quick():
            return await asyncio.get_running_loop().run_in_executor(self._threads(), self.glance, work)
        self._connect_reader()  # which takes longer, once
        found = self._glances.measured(self.glance, work)
        if self._glances.is_others_turn():
            await others_first()
        return found

    async def aread(self, work: Work[T]) -> T:
        """Like `read`, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads(), self.read, work)

    def look_ahead(self, work: Work[T]) -> T:
        """Run `work`, which may write, and take back what it wrote: the view of a transaction that never was."""

        def rolled_back(connection: sqlite3.Connection) -> T:
            connection.execute("SAVEPOINT ahead")
            try:
                return work(connection)
            finally:
                connection.execute("ROLLBACK TO ahead")
                connection.execute("RELEASE ahead")

        return self.write(rolled_back)

    async def alook_ahead(self, work: Work[T]) -> T:
        """Like `look_ahead`, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads(), self.look_ahead, work)

    def admit(self, ring: Sequence[str]) -> None:
        """Let this object be used with the keys of those ids, that which encrypts first; see Admission."""
        self._admission.with_keys(self.write, ring, self.path)

    def compact(self) -> None:
        """Write the file anew: it gets as small as it can, and nothing of what was removed is left in it.

        That takes about as long as copying the file, and as much free space on the disk; others who write wait.

        Raises:
            Unavailable: another process reads or writes for too long; or there is no space left.
        """
        with self._group().alone(), errors(self.path):
            connection = self._connect_writer()
            connection.wait_for_others(True)
            connection.execute("VACUUM")
            (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise Unavailable(f"what was removed may be left in {self.path + '-wal'!r}, for others read it: try again")

    async def acompact(self) -> None:
        """Like `compact`, off the event loop."""
        await asyncio.get_running_loop().run_in_executor(self._threads(), self.compact)

    def close(self) -> None:
        """Close every connection. Closing twice is fine; using it afterwards raises Unavailable."""
        self._closed = True
        with self._open_lock:
            workers, self._workers = self._workers, None
        if self._process != processes.here:
            return  # everything is the parent's
        if workers is not None:
            workers.shutdown(wait=True)
        self._writes.close()
        with self._writes.alone(), self._open_lock:
            self._disconnect()

    @contextlib.contextmanager
    def paused(self) -> Generator[None]:
        """Begin nothing, and have no connection to the file, for the length of a block in which this process forks.

        What SQLite knows of a file's locks goes over to a child, but the locks do not: others would not see that the
        child uses the file, and take away what it writes to; and a write that is under way would never end there.
        """
        with self._writes.alone(), self._open_lock:
            if not self.in_memory:
                self._disconnect()
            yield

    def _disconnect(self) -> None:
        """Close every connection, once nobody uses it; the write lock and that of opening are held."""
        readers, self._readers = list(self._readers), weakref.WeakSet()
        self._local = threading.local()  # before they are closed: see glance
        for reader in readers:
            with reader.in_use:
                reader.close()
        if self._writer is not None:
            self._writer.close()
        self._writer, self._check_at_s = None, 0.0

    def _new_group(self) -> GroupCommit[Work[Any]]:
        return GroupCommit(self._commit, most=_MOST_PER_COMMIT, name="clew-sqlite-write", at_once=self._commit_at_once)

    def _group(self) -> GroupCommit[Work[Any]]:
        """Return those who wait for a commit in this process."""
        if self._closed or self._process != processes.here:
            self._leave_parent()
        return self._writes

    def _leave_parent(self) -> None:
        """Begin anew in a forked child, which has none of its parent's OS threads."""
        self._check_open()
        with self._open_lock:
            if self._process != processes.here:
                self._writer, self._workers, self._writes = None, None, self._new_group()
                self._process = processes.here

    def _commit_at_once(self, batch: list[Waiting[Work[Any], Any]]) -> bool:
        """Like `_commit`, if commits are quick and no other process is writing; say whether that is so."""
        if self._writer is None or not self._commits.is_quick():
            return False
        return self._commits.measured(self._commit_unless_busy, batch)

    def _commit_unless_busy(self, batch: list[Waiting[Work[Any], Any]]) -> bool:
        with errors(self.path):
            is_begun = begin_at_once(self._connect_writer())
        if is_begun:
            self._commit(batch, begun=True)
        return is_begun

    def _commit(self, batch: list[Waiting[Work[Any], Any]], *, begun: bool = False) -> None:
        with errors(self.path):
            try:
                transact(self._connect_writer(), partial(carry_out_all, batch=batch), begun=begun)
            except Exception:
                if len(batch) == 1:
                    raise
                transact(self._connect_writer(), partial(carry_out_each, batch=batch, path=self.path))

    def _connect_writer(self) -> Connection:
        if time.monotonic() >= self._check_at_s:
            self._check_file()
        return self._writer or self._connect_first()

    def _connect_first(self) -> Connection:
        with self._open_lock, errors(self.path):
            if self._writer is not None:  # another OS thread was quicker
                return self._writer
            connection = self._connect()
            try:
                migrate(connection, self.path)
            except BaseException:
                connection.close()
                raise
            self._writer = connection
        return connection

    def _check_file(self) -> None:
        """Refuse to go on with a file that nobody will find again: what is committed to it would be lost.

        Raises:
            Unavailable: it was deleted, or another one is in its place.
            UnreadableRecord: it is encrypted, and there are no keys here.
        """
        if self.in_memory:
            self._check_at_s = math.inf
            return
        self._admission.check(self._connect, self.path)
        try:
            if file_id(self.path) == self.identity:
                self._check_at_s = time.monotonic() + _CHECK_EVERY_S
                return
        except FileNotFoundError:
            pass
        raise Unavailable(
            f"the database {self.path!r} was deleted or replaced while it was open; nothing of this was kept: put the "
            "file back, or open a new Database to begin with what is there now"
        )

    def _connect_reader(self) -> Connection:
        """Return the connection of this OS thread."""
        self._group()  # a fork is noticed before anyone reads
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            self._connect_writer()  # which looks whether the tables are ours
            with self._open_lock, errors(self.path):
                connection = self._local.connection = self._connect()
                self._readers.add(connection)
        return connection

    def _connect(self) -> Connection:
        self._check_open()
        return connect(self.path, self._synchronous)

    def _threads(self) -> ThreadPoolExecutor:
        """Return the OS threads that read for async callers."""
        self._group()
        with self._open_lock:
            self._check_open()
            if self._workers is None:
                self._workers = ThreadPoolExecutor(4, thread_name_prefix="clew-sqlite-read")
            return self._workers

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(f"the database {self.path!r} was closed; open a new Database")
