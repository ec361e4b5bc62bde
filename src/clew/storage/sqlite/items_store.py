"""The store on SQLite, as users open it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from clew.late import late
from clew.storage.sqlite.database import SqliteDatabase
from clew.storage.sqlite.items_fields import declare
from clew.storage.sqlite.items_keeper import SqliteKeeper
from clew.store.filters import check_filter_fields
from clew.store.keeper import How
from clew.store.operations import Mode
from clew.store.settings import CACHE_BYTES, VECTORS_SHARE, LoadEmbedder, StoreOptions
from clew.store.sweeping import Done
from clew.store.transactional import TransactionalStore

if TYPE_CHECKING:
    from clew.storage import uncancelled
else:
    late(globals(), "clew.storage.uncancelled")

T = TypeVar("T")


class SqliteStore(TransactionalStore[sqlite3.Connection]):
    """Long-term memory in one SQLite file, sync and async on the same object.

    Args:
        where: a path, ":memory:", or a SqliteDatabase that it shares, so that a task's record and memories are
            committed together.
        index: what is embedded and how; see IndexConfig. Without it queries are ignored, as LangGraph users know.
        ttl: how long memories live; see TTLConfig.
        search_mode: what a query means when a search does not say.
        load_embedder: turns the name of an embedder into one.
        history: which old versions of items are kept; see HistoryConfig. False: none.
        filter_fields: paths of fields, such as "user_id" or "address.city", of which the file keeps an index from now
            on, so that filters for a value of theirs do not read every item.
        clock: gives the time, aware UTC.
        cache_bytes: the most that searches keep of what they have read; an eighth of it is for vectors that were made
            lately.

    Raises:
        UsageError: a setting that is unknown or of the wrong kind.
        StorageError: the file cannot be opened.
    """

    def __init__(
        self,
        where: str | os.PathLike[str] | SqliteDatabase,
        index: Mapping[str, Any] | None = None,
        ttl: Mapping[str, Any] | None = None,
        *,
        search_mode: Mode | None = None,
        load_embedder: LoadEmbedder | None = None,
        history: Mapping[str, Any] | bool | None = None,
        filter_fields: Sequence[str] = (),
        clock: Callable[[], datetime] | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        super().__init__(
            SqliteKeeper(cache_bytes - cache_bytes // VECTORS_SHARE),
            index=index,
            ttl=ttl,
            search_mode=search_mode,
            load_embedder=load_embedder,
            history=history,
            clock=clock,
            cache_bytes=cache_bytes,
        )
        self._owns_database = not isinstance(where, SqliteDatabase)
        self.database = where if isinstance(where, SqliteDatabase) else SqliteDatabase(where)
        declare(self.database, check_filter_fields(filter_fields))

    @classmethod
    def from_conn_string(cls, conn_string: str, **options: Unpack[StoreOptions]) -> SqliteStore:
        """Open a store for a `with` or `async with` block, which closes it.

        Args:
            conn_string: the path of the file, or ":memory:".
            options: those of the class.
        """
        return cls(conn_string, **options)

    def setup(self) -> Done:
        """Do nothing: the tables are made when they are first used. May be awaited."""
        return Done()

    def close(self) -> None:
        """Stop the sweeper, and close the database unless it was given."""
        self.stop_ttl_sweeper()
        if self._owns_database:
            self.database.close()

    def __enter__(self) -> SqliteStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> SqliteStore:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _transact(self, how: How, work: Callable[[sqlite3.Connection], T]) -> T:
        match how:
            case "glance":
                return self.database.glance(work)
            case "read":
                return self.database.read(work)
            case "write":
                return self.database.write(work)
            case "look_ahead":
                return self.database.look_ahead(work)

    async def _atransact(self, how: How, work: Callable[[sqlite3.Connection], T]) -> T:
        match how:
            case "glance":
                return await self.database.aglance(work)
            case "read":
                return await self.database.aread(work)
            case "write":
                return await self.database.awrite(work)
            case "look_ahead":
                return await self.database.alook_ahead(work)

    async def _told(self) -> None:
        await uncancelled.told()


AsyncSqliteStore = SqliteStore
