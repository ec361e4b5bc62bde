"""One address for threads and memories: a SQLite file, a PostgreSQL database, or the memory of this process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from clew.codec.encryption import EncryptionKeys
from clew.errors import InvalidOption, UsageError
from clew.storage.base import Checkpointer
from clew.storage.encrypted import EncryptedSaver
from clew.storage.inmemory.database import InMemoryDatabase
from clew.storage.inmemory.items import InMemoryStore
from clew.storage.inmemory.journals import InMemorySaver
from clew.storage.sqlite.database import SqliteDatabase
from clew.storage.sqlite.items_store import SqliteStore
from clew.storage.sqlite.journals import SqliteSaver
from clew.store.base import BaseStore
from clew.store.settings import CACHE_BYTES, name_embedders
from clew.store.transactional import TransactionalStore

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool


class Database:
    """Keeps threads and memories together, over one connection source, so that they are committed together.

    Args:
        url: "sqlite:///relative.db", "sqlite:////absolute.db", a plain path of a file,
            "postgresql://user:password@host:5432/name", which may name a schema, "postgresql://…?schema=clew", a
            psycopg_pool.ConnectionPool, which stays the caller's, or ":memory:" for the memory of this process.
        embed: makes vectors of texts, so that memories are found by meaning as well as by words: a function from texts
            to vectors, an object with `embed_documents` and `embed_query`, or a name such as "local". Without it
            words alone rank them. Those that nothing ranks come last, the newest first.
        dims: length of the vectors, or None to take it from the first.
        fields: paths of the parts of a value that are searched; the whole value by default.
        index: further settings of what is searched, such as {"max_concurrency": 2} for at most two calls of the
            embedder at a time; docs/memory.md lists them.
        ttl: how long memories live, such as {"default_ttl": 60} for an hour; docs/memory.md has the rest. For ever if
            left out.
        history: which old versions of memories are kept, {"versions": 50, "days": 30} if left out; False: none.
        filter_fields: keys of values, such as "user_id" or "address.city", of which the file keeps an index from now
            on, so that a filter for one value of theirs reads no other items.
        cache_bytes: the most memory for what searches have read and vectors that were made lately; 512 MiB if left out.
        synchronous: of files alone: "FULL" flushes every commit to the disk; "NORMAL" only now and then, so that a
            power cut, though no crash of a process, may take the newest commits.
        schema: what holds the tables; of PostgreSQL alone.
        encryption: the keys with which values are encrypted where they are kept, or None to keep them as they are; see
            docs/security.md for what is covered. Every process that opens the database needs them, from the first on.

    Raises:
        UsageError: an address of a kind that there is not; a setting that is unknown or of the wrong kind.
        Unavailable: the file cannot be opened or written. Of PostgreSQL, the first use says so.
        SchemaMismatch: the tables were made by another version of clew, or the file by another program.
        UnreadableRecord: the file is encrypted with other keys, or is not although there are keys; of PostgreSQL, and
            without keys, the first use says so.
    """

    checkpointer: Checkpointer
    store: BaseStore

    def __init__(
        self,
        url: str | os.PathLike[str] | ConnectionPool[Any] = ":memory:",
        *,
        embed: Any = None,
        dims: int | None = None,
        fields: list[str] | None = None,
        index: Mapping[str, Any] | None = None,
        ttl: Mapping[str, Any] | None = None,
        history: Mapping[str, Any] | bool | None = None,
        filter_fields: Sequence[str] = (),
        cache_bytes: int = CACHE_BYTES,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        schema: str = "public",
        encryption: EncryptionKeys | None = None,
    ) -> None:
        if encryption is not None and not isinstance(encryption, EncryptionKeys):
            raise InvalidOption(f"encryption takes EncryptionKeys([...]), not a {type(encryption).__name__}")
        settings: dict[str, Any] = {
            "index": _index(index, embed=embed, dims=dims, fields=fields), "ttl": ttl, "search_mode": "hybrid",
            "load_embedder": _embedder_named, "history": history, "filter_fields": filter_fields,
            "cache_bytes": cache_bytes,
        }  # fmt: skip
        self._shared: Any = None  # what both parts are opened on, and is ours to close
        if _is_postgres(url):
            self._open_postgres(url, schema, synchronous, settings)
        else:
            self._open_here(url, schema, synchronous, settings)
        if encryption is not None:
            try:
                self._encrypt(encryption)
            except BaseException:
                self.close()
                raise

    def _open_here(
        self, url: Any, schema: str, synchronous: Literal["FULL", "NORMAL"], settings: dict[str, Any]
    ) -> None:
        if not isinstance(url, str | os.PathLike) or not os.fspath(url):
            raise UsageError(
                f"a database is named by sqlite:///file.db, a path, postgresql://… or ':memory:', not by {url!r}"
            )
        if schema != "public":
            raise InvalidOption("only a PostgreSQL database has schemas")
        self.url = str(url)
        path = _sqlite_path(self.url)
        if path is None:
            memory = InMemoryDatabase()
            self.checkpointer = InMemorySaver(memory)
            self.store = InMemoryStore(database=memory, **settings)
        else:
            self._shared = SqliteDatabase(path, synchronous=synchronous)
            self.checkpointer = SqliteSaver(self._shared)
            self.store = SqliteStore(self._shared, **settings)

    def _open_postgres(self, url: Any, schema: str, synchronous: str, settings: dict[str, Any]) -> None:
        # Only when asked for: most programs use one engine.
        from clew.storage.postgres.database import PostgresDatabase
        from clew.storage.postgres.items_store import PostgresStore
        from clew.storage.postgres.journals import PostgresSaver

        if synchronous != "FULL":
            raise InvalidOption("synchronous is of SQLite files; of PostgreSQL set synchronous_commit on the server")
        self._shared = PostgresDatabase(url, schema=schema)
        self.url = self._shared.shown  # without the password
        self.checkpointer = PostgresSaver(self._shared)
        self.store = PostgresStore(self._shared, **settings)

    def _encrypt(self, keys: EncryptionKeys) -> None:
        assert isinstance(self.store, TransactionalStore)  # as all engines of our own are
        self.checkpointer = EncryptedSaver(self.checkpointer, keys)
        self.store.encrypt(keys)

    def compact(self) -> None:
        """Write the files anew: they get as small as they can, and nothing of what was removed is left in them.

        That takes about as long as copying them, and as much free space; others who write wait.

        Raises:
            Unavailable: other processes read or write for too long, or there is no space left.
        """
        self.checkpointer.database.compact()

    async def acompact(self) -> None:
        """Like `compact`, for async code."""
        await self.checkpointer.database.acompact()

    def close(self) -> None:
        """Give back files and OS threads. Closing twice is fine."""
        for part in (self.store, self.checkpointer, self._shared):
            close = getattr(part, "close", None)
            if close is not None:
                close()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Database({self.url!r})"


def _embedder_named(name: str) -> Any:
    from clew.integrations.embedders import embedder_named  # only when asked for: it leads to optional packages

    return embedder_named(name)


name_embedders(_embedder_named)


def _index(index: Mapping[str, Any] | None, **named: Any) -> Mapping[str, Any] | None:
    """Give the settings of the index together; None where there are none."""
    named = {name: value for name, value in named.items() if value is not None}
    if not named or (index is not None and not isinstance(index, Mapping)):
        return index
    if twice := sorted(named.keys() & (index or {}).keys()):
        raise InvalidOption(f"{', '.join(twice)} is given twice: as an argument and in index={{...}}; give it once")
    return {**(index or {}), **named}


def _is_postgres(url: object) -> bool:
    """Say whether it is an address of PostgreSQL, or a pool of its connections."""
    is_address = isinstance(url, str) and url.partition("://")[0] in ("postgresql", "postgres")
    return is_address or type(url).__module__.partition(".")[0] == "psycopg_pool"


def _sqlite_path(url: str) -> str | None:
    """Return the path of the SQLite file, or None for the memory of this process."""
    if url == ":memory:":
        return None
    scheme, separator, rest = url.partition("://")
    if not separator and url.startswith(("sqlite:", "file:", "postgres:", "postgresql:")):
        # It is not repeated: there may be a password in it.
        raise UsageError("this is no address: use sqlite:///file.db, a plain path, postgresql://…, or :memory:")
    if not separator:
        return url
    if scheme != "sqlite":
        raise UsageError(
            f"there is no engine for {scheme!r}: use sqlite:///file.db, a plain path, postgresql://…, or :memory:"
        )
    if not rest.startswith("/"):
        raise UsageError(f"{url!r} lacks a slash: sqlite:///relative.db or sqlite:////absolute.db")
    if "?" in rest:
        raise UsageError(f"{url!r} has options, and addresses of SQLite have none; a path may have a '?'")
    if rest == "/":
        raise UsageError(f"{url!r} names no file: sqlite:///file.db, or :memory: for the memory of this process")
    return rest[1:]
