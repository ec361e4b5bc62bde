"""One schema of a PostgreSQL database: who works on which connection, what is tried again, and when it is migrated.

It knows nothing of threads, runs or memories: journals and items hand it functions of a connection.

`read`, `write` and `look_ahead` (`aread`, `awrite`, `alook_ahead`) run such a function in a transaction of its own,
with the schema first on the search path, so that tables are named without it: `connection.execute("SELECT … FROM
clew_items")`. No user code runs in there. `call` carries out a Call, which is
committed together with all others that wait: one round trip, one commit. Blocking calls work on the caller's own OS
thread, async ones on OS threads of this object, or, a call that comes alone, on the caller's loop: one object serves
blocking code and any number of loops.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from clew.errors import InvalidOption, Unavailable
from clew.storage import processes
from clew.storage.group_commit import GroupCommit, Waiting, finished
from clew.storage.postgres.addresses import Address, driver, read_address
from clew.storage.postgres.calls import Call, Found, Function
from clew.storage.postgres.connections import Connections, connected
from clew.storage.postgres.exchanging import carry_out, exchange, exchanging
from clew.storage.postgres.failing import is_gone, translated
from clew.storage.postgres.migrations import migrate, pending, quote, version
from clew.storage.postgres.news import PostgresNews
from clew.storage.postgres.on_loop import CAN_WATCH, talked
from clew.storage.postgres.rings import check_ring
from clew.storage.postgres.sessions import prepared
from clew.storage.postgres.statements import rows
from clew.storage.postgres.transactions import Kind, Lost, Work, transact

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import ConnectionPool

T = TypeVar("T")

_MOST_PER_COMMIT = 256
_THREADS = 8


class PostgresDatabase:
    """A schema of a PostgreSQL database that many OS threads, loops and processes use at once.

    Nothing is opened before it is needed; then the tables are made, or brought to the version of this code.

    Args:
        where: an address, "postgresql://user:password@host:5432/name", which may end in "?schema=…", or a
            psycopg_pool.ConnectionPool, which stays the caller's to open and close.
        schema: what holds the tables, where the address does not say it; made when missing.

    Raises:
        InvalidOption: an address or a schema that is none. Unavailable and SchemaMismatch come from the methods.
        MissingDependency: psycopg is not installed.
    """

    def __init__(self, where: str | ConnectionPool[Any], *, schema: str = "public") -> None:
        self._source: Address | ConnectionPool[Any] = read_address(where) if isinstance(where, str) else _pool(where)
        place: Hashable = self._source
        self.shown = "<the given pool>"
        if isinstance(self._source, Address):
            place, self.shown = self._source.place, self._source.shown
            schema = _one_schema(schema, self._source.schema)
        if not isinstance(schema, str) or not schema or "\0" in schema or len(schema.encode()) > 63:
            raise InvalidOption(f"schema is a name of 1 to 63 bytes, not {schema!r:.100}")
        self.schema = schema
        self._prefix = f"{quote(schema)}."
        #: Equal for objects that keep their data in the same place, so that one may commit for the other.
        self.identity: Hashable = (place, schema)
        self._lock = threading.Lock()
        self._here: _Here | None = None
        self._is_migrated = False
        self._ring: Sequence[str] = ()
        self._closed = False

    def read(self, work: Work[T]) -> T:
        """Run `work` on one consistent state of the database and return what it returns.

        Raises:
            StorageError: the database did not do it.
        """
        return self.transact("read", work)

    def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction and return what it returns, once that is committed.

        It is run again, once, if the connection went before it was committed.

        Raises:
            StorageError: nothing of this work was kept, unless the message says that nobody knows.
            Whatever `work` raises: its changes are rolled back.
        """
        return self.transact("write", work)

    def look_ahead(self, work: Work[T]) -> T:
        """Run `work`, which may write, and take back what it wrote: the view of a transaction that never was."""
        return self.transact("look_ahead", work)

    async def aread(self, work: Work[T]) -> T:
        """Like `read`, off the event loop."""
        return await self._aside(lambda: self.read(work))

    async def awrite(self, work: Work[T]) -> T:
        """Like `write`, off the event loop. A caller that is cancelled meanwhile learns of it at its next await."""
        return await self._aside(lambda: self.write(work))

    async def alook_ahead(self, work: Work[T]) -> T:
        """Like `look_ahead`, off the event loop."""
        return await self._aside(lambda: self.look_ahead(work))

    def transact(self, kind: Kind, work: Work[T]) -> T:
        """Run `work` in a transaction of that kind. See `read`, `write`, `look_ahead`; "glance": one statement."""
        return self._trying(lambda connection: transact(connection, kind, self.schema, work))

    async def atransact(self, kind: Kind, work: Work[T]) -> T:
        """Like `transact`, off the event loop. A caller that is cancelled meanwhile learns of it at its next await."""
        return await self._aside(lambda: self.transact(kind, work))

    def call(self, call: Call[T]) -> T:
        """Carry out a call and return what it gives, once it is committed together with all that wait.

        Raises:
            StorageError: nothing of it was kept.
        """
        calls = self._opened().calls
        if calls.is_free():
            try:
                with calls.lock:  # nobody else writes: no queue, no batch
                    return self._by_itself(call)
            finally:
                calls.go_on()
        value: T = calls.run(call)
        return value

    async def acall(self, call: Call[T]) -> T:
        """Like `call`, off the event loop. A caller that is cancelled meanwhile learns of it at its next await."""
        value: T = await self._opened().calls.arun(call)
        return value

    def look(self, call: Call[T]) -> T:
        """Carry out a call that only reads, and return what it gives: one round trip."""
        return self._trying(partial(self._look, call))

    async def alook(self, call: Call[T]) -> T:
        """Like `look`, off the event loop, and together with all others that wait."""
        value: T = await self._opened().looks.arun(call)
        return value

    @property
    def news(self) -> PostgresNews:
        """What the database tells this process."""
        return self._opened().news

    def setup(self) -> None:
        """Make the tables now, or bring them to the version of this code."""
        self._trying(lambda connection: None)

    def pending(self) -> list[str]:
        """Return the SQL that `setup` would run, script by script."""
        try:
            with self._unmigrated() as connection:
                return pending(connection, self.schema, self.shown)
        except driver().Error as error:
            raise translated(error, self.shown) from error

    def has_tables(self) -> bool:
        """Say whether the tables were made, were it by an older clew; this makes none."""
        try:
            with self._unmigrated() as connection:
                return version(connection, self.schema, self.shown)[0] > 0
        except driver().Error as error:
            raise translated(error, self.shown) from error

    def apart(self, work: Work[T]) -> T:
        """Run `work` on a connection that is in no transaction and has no schema on its search path."""
        return self._trying(work)

    def admit(self, ring: Sequence[str]) -> None:
        """Let this object be used with keys; which ones, its first use checks.

        Args:
            ring: ids of the keys, that which encrypts first; it is noted in the database. Without any, the first use
                refuses a database that is encrypted.
        """
        self._ring, self._is_migrated = ring, False

    def compact(self) -> None:
        """Write the tables anew: they get as small as they can, and nothing of what was removed is left in them.

        That takes about as long as copying them, and as much free space; others who read or write wait. What the
        server keeps beside its tables, such as its write-ahead log, goes when the server drops it.
        """
        self.apart(partial(_compact, self.schema))

    async def acompact(self) -> None:
        """Like `compact`, off the event loop."""
        await self._aside(self.compact)

    def close(self) -> None:
        """Give back connections and OS threads. Closing twice is fine; using it afterwards raises Unavailable."""
        with self._lock:
            self._closed = True
            here, self._here = self._here, None
        if here is not None and here.process == processes.here:
            here.close()

    def __repr__(self) -> str:
        return f"PostgresDatabase({self.shown!r}, schema={self.schema!r})"

    def _opened(self) -> _Here:
        """Return what belongs to this process: connections and OS threads do not live on in a forked child."""
        here = self._here
        if here is None or here.process != processes.here:
            with self._lock:
                if self._closed:
                    raise Unavailable(f"the database {self.shown} was closed; open a new Database")
                here = self._here
                if here is None or here.process != processes.here:
                    _inherited.append(here)
                    connections = Connections(self._source, self.shown, self.schema)
                    here = self._here = _Here(connections, self._group, PostgresNews(self, self._source))
        return here

    def _lent(self) -> contextlib.AbstractContextManager[psycopg.Connection]:
        """Lend a connection to a database that has its tables."""
        here = self._opened()
        if not self._is_migrated:
            with here.migrating:
                self._migrate()
        return here.connections.borrowed()

    def _migrate(self) -> None:
        if not self._is_migrated:
            with self._unmigrated() as connection:
                migrate(connection, self.schema, self.shown)
                check_ring(connection, self.schema, self._ring, self.shown)
            self._is_migrated = True

    @contextlib.contextmanager
    def _unmigrated(self) -> Generator[psycopg.Connection]:
        """Lend a connection, outside the pool if it is ours: what is wrong with an address then shows at once."""
        here = self._opened()
        lent = connected(self._source) if isinstance(self._source, Address) else here.connections.borrowed()
        with lent as connection:
            yield connection

    def _trying(self, work: Work[T]) -> T:
        """Run `work` on a connection, and on another one if the first is lost and nothing was kept."""
        try:
            try:
                return self._once(work)
            except Lost:
                return self._once(work)
        except Lost as lost:
            raise translated(lost.error, self.shown) from lost.error
        except driver().Error as error:
            raise translated(error, self.shown) from error

    def _once(self, work: Work[T]) -> T:
        with self._lent() as connection:
            return work(connection)

    def _look(self, call: Call[T], connection: psycopg.Connection) -> T:
        try:
            return carry_out(connection, call, self._prefix, prepared(connection))
        except driver().Error as error:
            if is_gone(connection):
                raise Lost(error) from error
            raise

    async def _aside(self, work: Callable[[], T]) -> T:
        return await finished(asyncio.wrap_future(self._opened().threads.submit(work)))

    def _group(self, name: str) -> GroupCommit[Call[Any]]:
        on_loop = self._on_loop if CAN_WATCH else None
        return GroupCommit(self._carry_out, most=_MOST_PER_COMMIT, name=name, on_loop=on_loop)

    def _carry_out(self, batch: list[Waiting[Call[Any], Any]]) -> None:
        """Commit a batch of calls at once; if that fails, each by itself, so that each gets its own error."""
        try:
            found, is_lost = self._exchanged([unit.work for unit in batch])
        except driver().Error as error:
            raise translated(error, self.shown) from error
        for unit in batch:
            try:
                unit.value = unit.work.result(found) if found is not None else self._alone(unit.work, is_lost)
            except Exception as error:
                unit.fail(error)

    def _by_itself(self, call: Call[T]) -> T:
        """Carry out a call that nobody else's goes with."""
        try:
            found, is_lost = self._exchanged([call])
        except driver().Error as error:
            raise translated(error, self.shown) from error
        return call.result(found) if found is not None else self._alone(call, is_lost)

    def _exchanged(self, calls: Sequence[Call[Any]]) -> tuple[Mapping[Function, Found] | None, bool]:
        """Carry out calls together; return what came back, or None, and whether nobody knows what was kept."""
        with self._lent() as connection:
            try:
                return exchange(connection, calls, self._prefix, prepared(connection)), False
            except driver().Error:
                return None, is_gone(connection)

    async def _on_loop(self, call: Call[T]) -> T:
        """Carry out a call on the caller's event loop, if a connection is to be had at once."""
        lent = self._opened().connections.borrowed_at_once() if self._is_migrated else None
        if lent is None:
            return await self._aside(lambda: self._alone(call, may_be_kept=False))
        with lent as connection:
            try:
                talk = exchanging(connection.pgconn, [call], self._prefix, prepared(connection))
                return call.result(await talked(connection.pgconn.socket, talk))
            except driver().Error:
                is_lost = is_gone(connection)
        return await self._aside(lambda: self._alone(call, is_lost))

    def _alone(self, call: Call[T], may_be_kept: bool) -> T:
        """Carry out one call of a batch that failed.

        Args:
            call: which.
            may_be_kept: whether the connection went, so that nobody knows what it did.
        """
        if may_be_kept and (kept := self.write(call.recover)) is not None:
            return kept[0]
        return self._trying(lambda connection: carry_out(connection, call, self._prefix))


class _Here:
    """What belongs to one process: its connections, its OS threads, who waits for a commit, and who for news."""

    def __init__(
        self,
        connections: Connections,
        group: Callable[[str], GroupCommit[Call[Any]]],
        news: PostgresNews,
    ) -> None:
        self.process = processes.here
        self.connections = connections
        self.news = news
        self.migrating = threading.Lock()
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="clew-postgres")  # they start when needed
        self.calls = group("clew-postgres-commit")
        self.looks = group("clew-postgres-look")

    def close(self) -> None:
        self.news.close()
        self.calls.close()
        self.looks.close()
        self.threads.shutdown(wait=True)
        self.connections.close()


_inherited: list[_Here | None] = []  # by forked children, who may neither use nor close them


def _one_schema(given: str, in_address: str | None) -> str:
    """Return the schema that is meant.

    Raises:
        InvalidOption: two are.
    """
    if in_address is not None and given not in ("public", in_address):
        raise InvalidOption(f"the address names schema {in_address!r}, and schema={given!r} is given: name one of them")
    return given if in_address is None else in_address


def _pool(where: object) -> ConnectionPool[Any]:
    """Return the user's pool.

    Raises:
        InvalidOption: it is something else.
    """
    driver()
    from psycopg_pool import ConnectionPool

    if not isinstance(where, ConnectionPool):
        raise InvalidOption(
            "a PostgreSQL database is named by an address or a psycopg_pool.ConnectionPool (which serves async code, "
            f"too), not by a {type(where).__name__}"
        )
    return where


def _compact(schema: str, connection: psycopg.Connection) -> None:
    tables = rows(
        connection, "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename ^@ 'clew_'", (schema,)
    )
    for (table,) in tables:
        connection.execute(f"VACUUM (FULL) {quote(schema)}.{quote(table)}".encode())
