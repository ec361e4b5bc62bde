"""The store on PostgreSQL, as users open it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from clew.storage.postgres.database import PostgresDatabase
from clew.storage.postgres.items import write_call
from clew.storage.postgres.items_keeper import PostgresKeeper
from clew.storage.postgres.items_nearby import make_indexes, make_table
from clew.storage.postgres.migrations import quote
from clew.storage.postgres.statements import rows
from clew.storage.uncancelled import told
from clew.store.filters import check_filter_fields
from clew.store.keeper import How
from clew.store.operations import Mode
from clew.store.planning import PreparedWrite
from clew.store.settings import CACHE_BYTES, VECTORS_SHARE, LoadEmbedder, StoreOptions
from clew.store.sweeping import Done
from clew.store.transactional import TransactionalStore

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import ConnectionPool

T = TypeVar("T")


class PostgresStore(TransactionalStore["psycopg.Connection"]):
    """Long-term memory in a PostgreSQL database, sync and async on the same object.

    Args:
        where: an address, "postgresql://user:password@host:5432/name"; a psycopg_pool.ConnectionPool, which stays the
            caller's; or a PostgresDatabase that it shares, so that a task's record and memories are committed together.
        index: what is embedded and how; see IndexConfig. Without it queries are ignored, as LangGraph users know.
        ttl: how long memories live; see TTLConfig.
        schema: see PostgresDatabase; only with an address or a pool.
        search_mode: what a query means when a search does not say.
        load_embedder: turns the name of an embedder into one.
        history: which old versions of items are kept; see HistoryConfig. False: none.
        filter_fields: paths of fields, such as "user_id" or "address.city", of which the database keeps an index from
            now on, so that filters for a value of theirs do not read every item. Others who write wait while it is
            made.
        clock: gives the time, aware UTC.
        cache_bytes: the most that searches keep of what they have read; an eighth of it is for vectors that were made
            lately.

    Raises:
        UsageError: a setting that is unknown or of the wrong kind.
        InvalidOption, MissingDependency: see PostgresDatabase.
        StorageError: the database cannot be reached; only with filter_fields, else when it is used.
    """

    def __init__(
        self,
        where: str | ConnectionPool[Any] | PostgresDatabase,
        index: Mapping[str, Any] | None = None,
        ttl: Mapping[str, Any] | None = None,
        *,
        schema: str = "public",
        search_mode: Mode | None = None,
        load_embedder: LoadEmbedder | None = None,
        history: Mapping[str, Any] | bool | None = None,
        filter_fields: Sequence[str] = (),
        clock: Callable[[], datetime] | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        super().__init__(
            PostgresKeeper(cache_bytes - cache_bytes // VECTORS_SHARE),
            index=index,
            ttl=ttl,
            search_mode=search_mode,
            load_embedder=load_embedder,
            history=history,
            clock=clock,
            cache_bytes=cache_bytes,
        )
        declared = check_filter_fields(filter_fields)
        self._owns_database = not isinstance(where, PostgresDatabase)
        self.database = where if isinstance(where, PostgresDatabase) else PostgresDatabase(where, schema=schema)
        if declared:
            self.database.write(lambda connection: _declare(connection, declared))

    @classmethod
    def from_conn_string(
        cls, conn_string: str, *, schema: str = "public", **options: Unpack[StoreOptions]
    ) -> PostgresStore:
        """Open a store for a `with` or `async with` block, which closes it.

        Args:
            conn_string: the address of the database.
            schema: what holds the tables.
            options: those of the class.
        """
        return cls(conn_string, schema=schema, **options)

    def apply(self, writes: Sequence[PreparedWrite]) -> None:
        """See BaseStore.apply. In one round trip, together with what other OS threads write at the same moment."""
        if writes:
            self.database.call(write_call([self._kept(write) for write in writes], self._clock()))

    async def aapply(self, writes: Sequence[PreparedWrite]) -> None:
        """See BaseStore.aapply. Like `apply`, together with what other tasks write at the same moment."""
        if writes:
            await self.database.acall(write_call([self._kept(write) for write in writes], self._clock()))

    def setup(self, *, halfvec: bool | None = None) -> Done:
        """Make the tables now rather than at the first use. May be awaited, and called at any time.

        Also what searches by meaning need where there are tens of thousands of vectors: a table for pgvector, where
        that is there by now, and its indexes, which takes minutes for a million. Call `reindex` after it if there
        were memories before there was pgvector.

        Args:
            halfvec: how pgvector keeps vectors from now on, for all who use these tables: in half precision, in which
                up to 4,000 dimensions can have an index, or, with False, in single precision, in twice the room and
                with up to 2,000. None: as before, and at first in half precision; what is near is ranked by the whole
                vectors in either case. Others wait while what is kept is changed.
        """
        self.database.write(lambda connection: make_table(connection, halfvec))
        self.database.apart(lambda connection: make_indexes(connection, quote(self.database.schema)))
        return Done()

    def close(self) -> None:
        """Stop the sweeper, and close the database unless it was given."""
        self.stop_ttl_sweeper()
        if self._owns_database:
            self.database.close()

    def __enter__(self) -> PostgresStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> PostgresStore:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _transact(self, how: How, work: Callable[[psycopg.Connection], T]) -> T:
        return self.database.transact(how, work)

    async def _atransact(self, how: How, work: Callable[[psycopg.Connection], T]) -> T:
        return await self.database.atransact(how, work)

    async def _told(self) -> None:
        await told()


def _declare(connection: psycopg.Connection, paths: Sequence[tuple[str, ...]]) -> None:
    """Keep an index of these fields from now on, of every item that is there already, too."""
    for steps in paths:
        rows(connection, "SELECT clew_declare_field(%s::text[])", (list(steps),))


AsyncPostgresStore = PostgresStore
