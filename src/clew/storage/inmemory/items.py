"""Memories in the process's own memory: the engine's items, and the store on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from msgspec.structs import replace

from clew.engine.records import Run, run_of
from clew.storage.inmemory.database import InMemoryDatabase
from clew.storage.inmemory.items_moving import MemoryMover
from clew.storage.inmemory.items_state import (
    ItemState,
    Row,
    Space,
    apply_writes,
    current_version,
    ended_version,
    items_of,
)
from clew.store.codes import codes_of
from clew.store.corpus import Corpus, IndexRow
from clew.store.expiry import from_us, to_us
from clew.store.filters import Filter, check_filter_fields, meets
from clew.store.history import Moment, Version, trimmed
from clew.store.keeper import Erased, How, Place, Reading
from clew.store.listing import PreparedListing
from clew.store.namespaces import below, list_matching
from clew.store.operations import Mode, Namespace
from clew.store.outbox import (
    TERM_BYTES,
    Indexed,
    IndexStatus,
    Reindexed,
    Waiting,
    Worked,
    Written,
    other_names,
    status_of,
)
from clew.store.planning import PreparedGet, PreparedSearch, PreparedWrite
from clew.store.search import EXACT_ITEMS, CachedCorpus, CorpusCache, Found, Stored, search
from clew.store.settings import CACHE_BYTES, VECTORS_SHARE, LoadEmbedder
from clew.store.transactional import TransactionalStore

T = TypeVar("T")


class _MemoryShelf:
    """The items below one prefix; see Shelf."""

    def __init__(self, state: ItemState, request: PreparedSearch, reading: Reading, cache: CorpusCache) -> None:
        self._state = state
        self._spaces = state.below(request.prefix)
        self._request = request
        self._reading = reading
        self._cache = cache
        self._now_us = to_us(reading.now)

    def newest(self, condition: Filter | None) -> Iterator[Stored]:
        live = (row.stored for row in self._live())
        return iter(sorted(live, key=lambda stored: (stored.updated_us, stored.id), reverse=True))

    def corpus(self, dims: int) -> Corpus:
        name = (self._request.prefix, self._request.model, dims)
        build = partial(self._build, dims)
        return self._cache.get(name, self._state.change, self._refresh, build, keep=self._reading.committed)

    def allowed(self, condition: Filter | None) -> Collection[int] | None:
        if condition is None and not self._state.some_expired(self._now_us):
            return None
        live = (row.stored for row in self._live())
        return {s.id for s in live if meets(condition, s.value)}

    def by_ids(self, ids: Sequence[int]) -> dict[int, Stored]:
        return {item_id: self._state.by_id[item_id].stored for item_id in ids}

    def _live(self) -> Iterator[Row]:
        return (row for space in self._spaces for row in space.rows.values() if row.lives(self._now_us))

    def vectors(self, ids: Sequence[int]) -> dict[int, bytes]:
        return {i: _vectors(self._state.by_id[i], self._request) for i in ids}

    def _build(self, dims: int) -> Corpus:
        rows = sorted((row for space in self._spaces for row in space.rows.values()), key=lambda row: row.stored.id)
        coded = len(rows) > EXACT_ITEMS
        return Corpus(self._index_rows(rows, dims, coded), dims, coded=coded)

    def _refresh(self, known: CachedCorpus) -> Corpus | None:
        """Give a corpus with what has changed since; None where that is not known any more, or where it gets wide."""
        changed, corpus = self._state.changed_since(known.change), known.corpus
        if changed is None:
            return None
        found = [row for i in sorted(changed) if (row := self._state.by_id.get(i)) is not None]
        rows = [row for row in found if below(row.stored.namespace, self._request.prefix)]
        if not corpus.coded and len(corpus) + len(rows) > EXACT_ITEMS:
            return None
        gone = changed.difference(row.stored.id for row in found)
        return corpus.changed(self._index_rows(rows, corpus.dims, corpus.coded), gone)

    def _index_rows(self, rows: Sequence[Row], dims: int, coded: bool) -> list[IndexRow]:
        vectors = [_vectors(row, self._request) for row in rows]
        some = codes_of(vectors, dims) if coded and dims else vectors
        return [
            IndexRow(row.stored.id, row.write.words, row.write.marks, one) for row, one in zip(rows, some, strict=True)
        ]


def _vectors(row: Row, request: PreparedSearch) -> bytes:
    """Give an item's vectors if the request's may be compared with them."""
    vectors = row.write.vectors
    if vectors is None or vectors.model != request.model or vectors.dims != request.dims:
        return b""
    return vectors.data


class MemoryKeeper(MemoryMover):
    """The engine's side of the store; see Keeper."""

    def __init__(self, cache_bytes: int) -> None:
        self._cache = CorpusCache(cache_bytes)

    def get(self, state: ItemState, read: PreparedGet, reading: Reading) -> Stored | None:
        space = state.space(read.namespace)
        row = space.rows.get(read.key) if space else None
        return None if row is None or not row.lives(to_us(reading.now)) else row.stored

    def search(self, state: ItemState, read: PreparedSearch, reading: Reading) -> list[Found]:
        return search(_MemoryShelf(state, read, reading, self._cache), read)

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

    def delete_namespace(self, state: ItemState, prefix: Namespace, now: datetime, keeps: int) -> int:
        return _delete(state, state.below(prefix), lambda _: True, to_us(now), keeps)

    def sweep(self, state: ItemState, now: datetime, keeps: int) -> int:
        now_us = to_us(now)
        return _delete(state, list(state.spaces.values()), lambda row: not row.lives(now_us), now_us, keeps)

    def versions(
        self, state: ItemState, prefix: Namespace, key: str | None = None, moment: Moment | None = None
    ) -> Iterator[Version]:
        if key is not None:
            places = [(space, key)] if (space := state.space(prefix)) else []
        else:
            places = [(space, key) for space in state.below(prefix) for key in {*space.rows, *space.past}]
        for space, key in places:
            if (row := space.rows.get(key)) is not None:
                yield current_version(row)
            yield from space.past.get(key, ())

    def forget(self, state: ItemState, before: datetime) -> None:
        before_us = to_us(before)
        for space in list(state.spaces.values()):
            for key, past in list(space.past.items()):
                left = tuple(v for v in past if v.ended_us is None or v.ended_us > before_us)
                if len(left) < len(past):
                    state.set(space, key, space.rows.get(key), left)

    def erase(self, state: ItemState, prefix: Namespace) -> Erased:
        spaces = state.below(prefix)
        rows = [row for space in spaces for row in space.rows.values()]
        past = [v for space in spaces for versions in space.past.values() for v in versions if v.value is not None]
        for space in spaces:
            for key in {*space.rows, *space.past}:
                state.set(space, key, None, ())
        return Erased(items=len(rows), versions=len(past), vectors=sum(row.write.vectors is not None for row in rows))

    def made_at(self, state: ItemState, checkpoint_id: str) -> datetime | None:
        run_id, at_end = run_of(checkpoint_id)
        find_run: Callable[[str], Run | None] | None = state.database.rooms.get("runs")
        run = find_run(run_id) if find_run else None
        made_s = None if run is None else run.ended_s if at_end else run.created_s
        return None if made_s is None else from_us(round(made_s * 1_000_000))

    def waiting(self, state: ItemState, limit: int, model: str, dims: int | None, now: datetime) -> list[Waiting]:
        now_us = to_us(now)
        due = [
            row
            for row in _rows(state)
            if row.write.waiting and row.due_us <= now_us and not _has_vectors_of(row, model, dims)
        ]
        return [_waiting(row) for row in sorted(due, key=lambda row: (row.due_us, row.stored.id))[:limit]]

    def written(self, state: ItemState, writes: Sequence[PreparedWrite]) -> list[Written | None]:
        return [_written(state, write) for write in writes]

    def set_vectors(self, state: ItemState, worked: Sequence[Worked], now: datetime) -> None:
        for one in worked:
            if (row := _unchanged(state, one)) is not None:
                state.has_vectors = state.has_vectors or one.vectors is not None
                state.set(state.open(row.stored.namespace), row.stored.key, _worked(row, one, to_us(now)))

    def index_status(self, state: ItemState, model: str, dims: int | None) -> IndexStatus:
        rows = list(_rows(state))
        by_embedder = Counter((v.model, v.dims) for row in rows if (v := row.write.vectors))
        reasons = Counter(row.write.waiting for row in rows if row.write.waiting)
        return status_of(len(rows), by_embedder, reasons, model, dims)

    def indexed(self, state: ItemState, after: int, limit: int) -> list[Indexed]:
        rows = sorted((row for row in _rows(state) if row.stored.id > after), key=lambda row: row.stored.id)
        return [_indexed(row) for row in rows[:limit]]

    def reindex(self, state: ItemState, anew: Sequence[Reindexed], now: datetime) -> None:
        for one in anew:
            if (row := _unchanged(state, one)) is not None:
                state.set(state.open(row.stored.namespace), row.stored.key, _reindexed(row, one, to_us(now)))

    def other_models(self, state: ItemState, model: str, dims: int | None) -> list[str]:
        embedders = {(v.model, v.dims) for row in _rows(state) if (v := row.write.vectors)}
        return other_names(embedders, model, dims)

    def forget_models(self, state: ItemState) -> None:
        """Do nothing: models are kept with their vectors alone."""


def _indexed(row: Row) -> Indexed:
    s, w = row.stored, row.write
    return Indexed(
        id=s.id, version=s.version, value=s.value, fields=w.fields, terms=len(w.words) // TERM_BYTES, vectors=w.vectors
    )


def _reindexed(row: Row, anew: Reindexed, now_us: int) -> Row:
    write = replace(row.write, words=anew.words, marks=anew.marks, vectors=anew.vectors, waiting=anew.waiting)
    return replace(row, write=write, attempts=0, due_us=now_us)


def _rows(state: ItemState) -> Iterator[Row]:
    return (row for space in state.spaces.values() for row in space.rows.values())


def _waiting(row: Row) -> Waiting:
    s = row.stored
    return Waiting(id=s.id, version=s.version, value=s.value, fields=row.write.fields, attempts=row.attempts)


def _has_vectors_of(row: Row, model: str, dims: int | None) -> bool:
    vectors = row.write.vectors
    return vectors is not None and (vectors.model, vectors.dims) == (model, dims)


def _unchanged(state: ItemState, known: Worked | Reindexed) -> Row | None:
    """Give an item's row if it is of the version that is known."""
    row = state.by_id.get(known.id)
    return row if row is not None and row.stored.version == known.version else None


def _written(state: ItemState, write: PreparedWrite) -> Written | None:
    space = state.space(write.namespace)
    row = space.rows.get(write.key) if space else None
    if row is None or not row.write.waiting or (row.write.value, row.write.fields) != (write.value, write.fields):
        return None
    return Written(row.stored.id, row.stored.version)


def _worked(row: Row, worked: Worked, now_us: int) -> Row:
    if worked.vectors is not None or not worked.reason:
        return replace(row, write=replace(row.write, vectors=worked.vectors, waiting=None))
    write = replace(row.write, waiting=worked.reason)
    return replace(row, write=write, attempts=row.attempts + 1, due_us=now_us + worked.again_in_s * 1_000_000)


def _delete(state: ItemState, spaces: list[Space], chosen: Callable[[Row], bool], now_us: int, keeps: int) -> int:
    doomed = [(space, key, row) for space in spaces for key, row in space.rows.items() if chosen(row)]
    for space, key, row in doomed:
        past = space.past.get(key, ())
        if keeps:
            ended = ended_version(row, "deleted", now_us, now_us, None)
            past = trimmed((*past, ended), row.stored.version - keeps)
        state.set(space, key, None, past)
    return len(doomed)


class InMemoryStore(TransactionalStore[ItemState]):
    """Long-term memory that lives as long as this object.

    Args:
        index: what is embedded and how; see IndexConfig. Without it queries are ignored, as LangGraph users know.
        ttl: how long memories live; see TTLConfig.
        database: what it shares with an InMemorySaver, so that a task's record and memories are committed together.
        search_mode: what a query means when a search does not say.
        load_embedder: turns the name of an embedder into one.
        history: which old versions of items are kept; see HistoryConfig. False: none.
        filter_fields: checked; here a filter reads every item below the prefix, an index or not.
        clock: gives the time, aware UTC.
        cache_bytes: the most that searches keep of what they have read; an eighth of it is for vectors that were made
            lately.
    """

    def __init__(
        self,
        index: Mapping[str, Any] | None = None,
        ttl: Mapping[str, Any] | None = None,
        *,
        database: InMemoryDatabase | None = None,
        search_mode: Mode | None = None,
        load_embedder: LoadEmbedder | None = None,
        history: Mapping[str, Any] | bool | None = None,
        filter_fields: Sequence[str] = (),
        clock: Callable[[], datetime] | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        super().__init__(
            MemoryKeeper(cache_bytes - cache_bytes // VECTORS_SHARE),
            index=index,
            ttl=ttl,
            search_mode=search_mode,
            load_embedder=load_embedder,
            history=history,
            clock=clock,
            cache_bytes=cache_bytes,
        )
        check_filter_fields(filter_fields)
        self.database = database or InMemoryDatabase()
        self.state = items_of(self.database)

    def _transact(self, how: How, work: Callable[[ItemState], T]) -> T:
        with self.database.transaction(keep=how != "look_ahead"):
            return work(self.state)

    async def _atransact(self, how: How, work: Callable[[ItemState], T]) -> T:
        return self._transact(how, work)
