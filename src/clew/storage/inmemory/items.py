"""Memories in the process's own memory: the engine's items, and the store on them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from clew.errors import Conflict
from clew.storage.inmemory.database import InMemoryDatabase
from clew.store.corpus import SEQUENCE_BITS, Corpus
from clew.store.expiry import to_us
from clew.store.filters import Condition, matches
from clew.store.keeper import How, Place, Reading
from clew.store.namespaces import encode, list_matching, path_range
from clew.store.operations import Item, Mode, Namespace, SearchItem
from clew.store.outbox import Indexed, IndexStatus, Reindexed, Waiting, Worked
from clew.store.planning import PreparedGet, PreparedListing, PreparedSearch, PreparedWrite
from clew.store.search import CACHE_BYTES, EXACT_ITEMS, CorpusCache, Stored, search
from clew.store.settings import LoadEmbedder
from clew.store.transactional import TransactionalStore
from clew.store.values import decode_value

T = TypeVar("T")


class _Row(Struct, frozen=True, kw_only=True):
    """One item; replaced as a whole, so that an old one can be put back."""

    stored: Stored
    write: PreparedWrite
    expires_us: int | None
    attempts: int = 0
    due_us: int = 0

    def lives(self, now_us: int) -> bool:
        return self.expires_us is None or self.expires_us > now_us


class _Space(Struct, kw_only=True):
    """One namespace's items, by key; `changes` counts its writes."""

    namespace: Namespace
    number: int
    rows: dict[str, _Row] = field(default_factory=dict)
    next_sequence: int = 0
    changes: int = 0


class ItemState:
    """All items, by namespace. Every change tells the database how to take it back."""

    def __init__(self, database: InMemoryDatabase) -> None:
        self.database = database
        self.spaces: dict[bytes, _Space] = {}
        self.paths: list[bytes] = []
        self.next_number = 1

    def below(self, prefix: Namespace) -> list[_Space]:
        """Give the namespaces at or below the prefix, sorted."""
        start, end = path_range(prefix)
        return [self.spaces[p] for p in self.paths[bisect_left(self.paths, start) : bisect_left(self.paths, end)]]

    def space(self, namespace: Namespace) -> _Space | None:
        """Give a namespace that holds items."""
        return self.spaces.get(encode(namespace))

    def open(self, namespace: Namespace) -> _Space:
        """Give a namespace, made when missing."""
        path = encode(namespace)
        if (space := self.spaces.get(path)) is None:
            space = self.spaces[path] = _Space(namespace=namespace, number=self.next_number)
            self.next_number += 1
            insort(self.paths, path)
            self.database.on_rollback(lambda: self._close(path))
        return space

    def set(self, space: _Space, key: str, row: _Row | None) -> None:
        """Put, replace or delete a row; a namespace that is left empty is gone."""
        before = space.rows.get(key)
        changes = space.changes
        path = encode(space.namespace)
        self._put(space, key, row, changes + 1)
        if not space.rows:
            self._close(path)

        def undo() -> None:
            if path not in self.spaces:
                self.spaces[path] = space
                insort(self.paths, path)
            self._put(space, key, before, changes)

        self.database.on_rollback(undo)

    def _put(self, space: _Space, key: str, row: _Row | None, changes: int) -> None:
        space.changes = changes
        if row is not None:
            space.rows[key] = row
        else:
            space.rows.pop(key, None)

    def _close(self, path: bytes) -> None:
        if self.spaces.pop(path, None) is not None:
            del self.paths[bisect_left(self.paths, path)]


def items_of(database: InMemoryDatabase) -> ItemState:
    """Give the items of a database, made when missing."""
    with database.lock:
        if "items" not in database.rooms:
            database.rooms["items"] = ItemState(database)
        state: ItemState = database.rooms["items"]
        return state


def apply_writes(database: InMemoryDatabase, writes: Sequence[PreparedWrite], now: datetime | None = None) -> None:
    """Apply writes in order, inside a transaction that the caller has open; `now` is the time if left out.

    Raises:
        Conflict: an item is of another version than the write demands.
    """
    state, now_us = items_of(database), to_us(now or datetime.now(UTC))
    for position, write in enumerate(writes):
        # Each write of a transaction has a microsecond of its own, so that newest first is their order.
        _apply(state, write, now_us, now_us + position)


def _apply(state: ItemState, write: PreparedWrite, now_us: int, moment_us: int) -> None:
    space = state.space(write.namespace)
    old = space.rows.get(write.key) if space else None
    live = old if old is not None and old.lives(now_us) else None
    version = live.stored.version if live else 0
    if write.if_version is not None and write.if_version != version:
        raise Conflict(
            f"item {write.key!r} of {write.namespace!r} is of version {version}, not {write.if_version}: "
            "another writer was first; read it again"
        )
    if write.value is None:
        if space is not None and old is not None:
            state.set(space, write.key, None)
        return
    space = space or state.open(write.namespace)
    if live is None:
        item_id = space.number << SEQUENCE_BITS | space.next_sequence
        space.next_sequence += 1
        created_us, updated_us = moment_us, moment_us
    else:
        item_id, created_us = live.stored.id, live.stored.created_us
        updated_us = max(moment_us, live.stored.updated_us + 1)
    stored = Stored(
        item_id, write.namespace, write.key, write.value, created_us, updated_us, write.ttl_us, version + 1
    )  # fmt: skip
    expires_us = None if write.ttl_us is None else now_us + write.ttl_us
    state.set(space, write.key, _Row(stored=stored, write=write, expires_us=expires_us))


class _MemoryShelf:
    """The items below one prefix; see Shelf."""

    def __init__(self, spaces: list[_Space], request: PreparedSearch, reading: Reading, cache: CorpusCache) -> None:
        self._spaces = spaces
        self._request = request
        self._reading = reading
        self._cache = cache
        self._now_us = to_us(reading.now)

    def newest(self, condition: Condition | None) -> Iterator[Stored]:
        live = (row.stored for row in self._live())
        return iter(sorted(live, key=lambda stored: (stored.updated_us, stored.id), reverse=True))

    def corpus(self, dims: int) -> Corpus:
        name = (self._request.prefix, self._request.model, dims)
        token = tuple((space.number, space.changes) for space in self._spaces)
        return self._cache.get(name, token, lambda: self._build(dims), keep=self._reading.committed)

    def allowed(self, condition: Condition | None) -> Collection[int] | None:
        every = [row for space in self._spaces for row in space.rows.values()]
        live = [row.stored for row in every if row.lives(self._now_us)]
        if condition is None:
            return None if len(live) == len(every) else {stored.id for stored in live}
        return {stored.id for stored in live if matches(condition, decode_value(stored.value))}

    def by_ids(self, ids: Sequence[int]) -> dict[int, Stored]:
        wanted = set(ids)
        return {row.stored.id: row.stored for row in self._live() if row.stored.id in wanted}

    def _live(self) -> Iterator[_Row]:
        return (row for space in self._spaces for row in space.rows.values() if row.lives(self._now_us))

    def vectors(self, ids: Sequence[int]) -> dict[int, bytes]:
        wanted = set(ids)
        every = (row for space in self._spaces for row in space.rows.values() if row.stored.id in wanted)
        return {row.stored.id: _vectors(row, self._request, coded=False) for row in every}

    def _build(self, dims: int) -> Corpus:
        rows = sorted((row for space in self._spaces for row in space.rows.values()), key=lambda row: row.stored.id)
        coded = len(rows) > EXACT_ITEMS
        index = [(r.stored.id, r.write.words, r.write.marks, _vectors(r, self._request, coded=coded)) for r in rows]
        return Corpus(index, dims, coded=coded)


def _vectors(row: _Row, request: PreparedSearch, *, coded: bool) -> bytes:
    """Give an item's vectors, or their codes, if the request's may be compared with them."""
    vectors = row.write.vectors
    if vectors is None or vectors.model != request.model or vectors.dims != request.dims:
        return b""
    return vectors.codes if coded else vectors.data


class MemoryKeeper:
    """The engine's side of the store; see Keeper."""

    def __init__(self, cache_bytes: int) -> None:
        self._cache = CorpusCache(cache_bytes)

    def get(self, state: ItemState, read: PreparedGet, reading: Reading) -> Item | None:
        space = state.space(read.namespace)
        row = space.rows.get(read.key) if space else None
        if row is None or not row.lives(to_us(reading.now)):
            return None
        if read.refresh and row.stored.ttl_us is not None:
            reading.ending.append((read.namespace, read.key))
        return row.stored.item()

    def search(self, state: ItemState, read: PreparedSearch, reading: Reading) -> list[SearchItem]:
        found = search(_MemoryShelf(state.below(read.prefix), read, reading, self._cache), read)
        if read.refresh:
            reading.ending.extend((s.namespace, s.key) for s, _ in found if s.ttl_us is not None)
        return [item for _, item in found]

    def list_namespaces(self, state: ItemState, read: PreparedListing, now: datetime) -> list[Namespace]:
        now_us = to_us(now)
        held = (s.namespace for s in state.spaces.values() if any(row.lives(now_us) for row in s.rows.values()))
        return list_matching(held, read.conditions, read.max_depth, read.limit, read.offset)

    def apply(self, state: ItemState, writes: Sequence[PreparedWrite], now: datetime) -> None:
        apply_writes(state.database, writes, now)

    def refresh(self, state: ItemState, places: Sequence[Place], now: datetime) -> None:
        now_us = to_us(now)
        for namespace, key in places:
            space = state.space(namespace)
            row = space.rows.get(key) if space else None
            if space is not None and row is not None and row.stored.ttl_us is not None and row.lives(now_us):
                state.set(space, key, replace(row, expires_us=now_us + row.stored.ttl_us))

    def delete_namespace(self, state: ItemState, prefix: Namespace) -> int:
        return _delete(state, state.below(prefix), lambda _: True)

    def sweep(self, state: ItemState, now: datetime) -> int:
        now_us = to_us(now)
        return _delete(state, list(state.spaces.values()), lambda row: not row.lives(now_us))

    def waiting(self, state: ItemState, limit: int, model: str, now: datetime) -> list[Waiting]:
        now_us = to_us(now)
        due = [row for row in _rows(state) if row.write.waiting and row.due_us <= now_us]
        return [_waiting(row) for row in sorted(due, key=lambda row: row.stored.updated_us)[:limit]]

    def set_vectors(self, state: ItemState, worked: Sequence[Worked], now: datetime) -> None:
        done = {(w.id, w.version): w for w in worked}
        for space in list(state.spaces.values()):
            for key, row in list(space.rows.items()):
                if (w := done.get((row.stored.id, row.stored.version))) is not None:
                    state.set(space, key, _worked(row, w, to_us(now)))

    def index_status(self, state: ItemState, model: str) -> IndexStatus:
        rows = list(_rows(state))
        models = _count(row.write.vectors.model for row in rows if row.write.vectors)
        reasons = _count(row.write.waiting for row in rows if row.write.waiting)
        return IndexStatus(
            items=len(rows), embedded=models.pop(model, 0), waiting=sum(reasons.values()), other_models=models,
            reasons=reasons,
        )  # fmt: skip

    def indexed(self, state: ItemState, after: int, limit: int) -> list[Indexed]:
        rows = sorted((row for row in _rows(state) if row.stored.id > after), key=lambda row: row.stored.id)
        return [_indexed(row) for row in rows[:limit]]

    def reindex(self, state: ItemState, anew: Sequence[Reindexed], now: datetime) -> None:
        new = {(one.id, one.version): one for one in anew}
        for space in list(state.spaces.values()):
            for key, row in list(space.rows.items()):
                if (one := new.get((row.stored.id, row.stored.version))) is not None:
                    state.set(space, key, _reindexed(row, one, to_us(now)))

    def other_models(self, state: ItemState, model: str) -> list[str]:
        return sorted({row.write.vectors.model for row in _rows(state) if row.write.vectors} - {model})

    def forget_models(self, state: ItemState) -> None:
        """Do nothing: models are kept with their vectors alone."""


def _indexed(row: _Row) -> Indexed:
    s, w = row.stored, row.write
    return Indexed(id=s.id, version=s.version, value=s.value, fields=w.fields, vectors=w.vectors)


def _reindexed(row: _Row, anew: Reindexed, now_us: int) -> _Row:
    write = replace(row.write, words=anew.words, marks=anew.marks, vectors=anew.vectors, waiting=anew.waiting)
    return replace(row, write=write, attempts=0, due_us=now_us)


def _rows(state: ItemState) -> Iterator[_Row]:
    return (row for space in state.spaces.values() for row in space.rows.values())


def _waiting(row: _Row) -> Waiting:
    s = row.stored
    return Waiting(id=s.id, version=s.version, value=s.value, fields=row.write.fields, attempts=row.attempts)


def _worked(row: _Row, worked: Worked, now_us: int) -> _Row:
    if worked.vectors is not None:
        return replace(row, write=replace(row.write, vectors=worked.vectors, waiting=None))
    write = replace(row.write, waiting=worked.reason)
    return replace(row, write=write, attempts=row.attempts + 1, due_us=now_us + worked.again_in_s * 1_000_000)


def _count(names: Iterator[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts


def _delete(state: ItemState, spaces: list[_Space], chosen: Callable[[_Row], bool]) -> int:
    doomed = [(space, key) for space in spaces for key, row in space.rows.items() if chosen(row)]
    for space, key in doomed:
        state.set(space, key, None)
    return len(doomed)


class InMemoryStore(TransactionalStore[ItemState]):
    """Long-term memory that lives as long as this object.

    Args:
        index: what is embedded and how; see IndexConfig. Without it queries are ignored, as LangGraph users know.
        ttl: how long memories live; see TTLConfig.
        database: what it shares with an InMemorySaver, so that a task's record and memories are committed together.
        search_mode: what a query means when a search does not say.
        load_embedder: turns the name of an embedder into one.
        clock: gives the time, aware UTC.
        cache_bytes: the most that searches keep of what they have read.
    """

    def __init__(
        self,
        index: Mapping[str, Any] | None = None,
        ttl: Mapping[str, Any] | None = None,
        *,
        database: InMemoryDatabase | None = None,
        search_mode: Mode | None = None,
        load_embedder: LoadEmbedder | None = None,
        clock: Callable[[], datetime] | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        super().__init__(
            MemoryKeeper(cache_bytes),
            index=index,
            ttl=ttl,
            search_mode=search_mode,
            load_embedder=load_embedder,
            clock=clock,
        )
        self.database = database or InMemoryDatabase()
        self.state = items_of(self.database)

    def _transact(self, how: How, work: Callable[[ItemState], T]) -> T:
        with self.database.transaction(keep=how != "look_ahead"):
            return work(self.state)

    async def _atransact(self, how: How, work: Callable[[ItemState], T]) -> T:
        return self._transact(how, work)
