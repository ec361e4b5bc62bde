"""The PostgreSQL engine's side of the store: every verb of a Keeper, each a few lines over items, search and index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from clew.storage.postgres import items, items_index, items_past
from clew.storage.postgres.items_moving import PostgresMover
from clew.storage.postgres.items_search import Moved, PostgresShelf
from clew.store.expiry import from_us, to_us
from clew.store.history import Moment, Version
from clew.store.keeper import Erased, Place, Reading
from clew.store.listing import PreparedListing
from clew.store.namespaces import list_walking
from clew.store.operations import Namespace
from clew.store.outbox import Indexed, IndexStatus, Reindexed, Waiting, Worked, Written
from clew.store.planning import PreparedGet, PreparedSearch, PreparedWrite
from clew.store.search import CorpusCache, Found, Stored, search

if TYPE_CHECKING:
    import psycopg

_AT_ONCE = 256


class PostgresKeeper(PostgresMover):
    """The engine's side of the store; see Keeper."""

    def __init__(self, cache_bytes: int) -> None:
        self._cache = CorpusCache(cache_bytes)

    def get(self, state: psycopg.Connection, read: PreparedGet, reading: Reading) -> Stored | None:
        return items.find_item(state, read.namespace, read.key, to_us(reading.now))

    def search(self, state: psycopg.Connection, read: PreparedSearch, reading: Reading) -> list[Found]:
        while True:
            try:
                return search(PostgresShelf(state, read, reading, self._cache), read)
            except Moved:
                continue  # each time somebody else has got something done

    def list_namespaces(self, state: psycopg.Connection, read: PreparedListing, now: datetime) -> list[Namespace]:
        walk = partial(items.held_namespaces, state, now_us=to_us(now), most=min(read.limit + read.offset, _AT_ONCE))
        return list_walking(walk, read.conditions, read.max_depth, read.limit, read.offset)

    def apply(self, state: psycopg.Connection, writes: Sequence[PreparedWrite], now: datetime) -> None:
        items.apply_writes(state, writes, now)

    def refresh(self, state: psycopg.Connection, places: Sequence[Place], now: datetime) -> None:
        items.refresh_items(state, places, to_us(now))

    def delete_namespace(self, state: psycopg.Connection, prefix: Namespace, now: datetime, keeps: int) -> int:
        items.lock_below(state, prefix)
        return items.delete_whole(state, items.ids_below(state, prefix), to_us(now), keeps)

    def sweep(self, state: psycopg.Connection, now: datetime, keeps: int) -> int:
        return items.delete_whole(state, items.ids_expired(state, to_us(now)), to_us(now), keeps)

    def versions(
        self, state: psycopg.Connection, prefix: Namespace, key: str | None = None, moment: Moment | None = None
    ) -> Iterator[Version]:
        return items_past.versions(state, prefix, key, moment)

    def forget(self, state: psycopg.Connection, before: datetime) -> None:
        items_past.forget(state, to_us(before))

    def erase(self, state: psycopg.Connection, prefix: Namespace) -> Erased:
        items.lock_below(state, prefix)
        ids = items.ids_below(state, prefix)
        erased = Erased(
            items=len(ids), versions=items_past.count_versions(state, prefix),
            vectors=items_index.count_embedded(state, prefix),
        )  # fmt: skip
        items.delete_items(state, ids)
        items_past.erase(state, prefix)
        return erased

    def made_at(self, state: psycopg.Connection, checkpoint_id: str) -> datetime | None:
        us = items_past.made_at_us(state, checkpoint_id)
        return None if us is None else from_us(us)

    def waiting(
        self, state: psycopg.Connection, limit: int, model: str, dims: int | None, now: datetime
    ) -> list[Waiting]:
        return items_index.waiting(state, limit, model, dims, to_us(now))

    def written(self, state: psycopg.Connection, writes: Sequence[PreparedWrite]) -> list[Written | None]:
        return items_index.written(state, writes)

    def set_vectors(self, state: psycopg.Connection, worked: Sequence[Worked], now: datetime) -> None:
        items_index.set_vectors(state, worked, to_us(now))

    def index_status(self, state: psycopg.Connection, model: str, dims: int | None) -> IndexStatus:
        return items_index.index_status(state, model, dims)

    def indexed(self, state: psycopg.Connection, after: int, limit: int) -> list[Indexed]:
        return items_index.indexed(state, after, limit)

    def reindex(self, state: psycopg.Connection, anew: Sequence[Reindexed], now: datetime) -> None:
        items_index.reindex(state, anew, to_us(now))

    def other_models(self, state: psycopg.Connection, model: str, dims: int | None) -> list[str]:
        return items_index.other_models(state, model, dims)

    def forget_models(self, state: psycopg.Connection) -> None:
        items_index.forget_models(state)
