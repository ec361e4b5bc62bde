"""The SQLite engine's side of the store: every verb of a Keeper, each a few lines over items, search and index."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

from clew.storage.sqlite import items, items_index, items_past
from clew.storage.sqlite.items_moving import SqliteMover
from clew.storage.sqlite.items_packs import keep_pack
from clew.storage.sqlite.items_search import Known, SqliteShelf
from clew.store.expiry import from_us, to_us
from clew.store.history import Moment, Version
from clew.store.keeper import Erased, Place, Reading
from clew.store.listing import PreparedListing
from clew.store.namespaces import list_walking
from clew.store.operations import Namespace
from clew.store.outbox import Indexed, IndexStatus, Reindexed, Waiting, Worked, Written
from clew.store.planning import PreparedGet, PreparedSearch, PreparedWrite
from clew.store.search import Found, Stored, search


class SqliteKeeper(SqliteMover):
    """The engine's side of the store; see Keeper."""

    def __init__(self, cache_bytes: int) -> None:
        self._known = Known(cache_bytes)

    def get(self, state: sqlite3.Connection, read: PreparedGet, reading: Reading) -> Stored | None:
        return items.find_item(state, read.namespace, read.key, to_us(reading.now))

    def search(self, state: sqlite3.Connection, read: PreparedSearch, reading: Reading) -> list[Found]:
        return search(SqliteShelf(state, read, reading, self._known), read)

    def list_namespaces(self, state: sqlite3.Connection, read: PreparedListing, now: datetime) -> list[Namespace]:
        walk = partial(items.held_namespaces, state, now_us=to_us(now))
        return list_walking(walk, read.conditions, read.max_depth, read.limit, read.offset)

    def apply(self, state: sqlite3.Connection, writes: Sequence[PreparedWrite], now: datetime) -> None:
        items.apply_writes(state, writes, now)
        if self._known.missing_packs:
            with suppress(KeyError):  # another OS thread was quicker
                keep_pack(state, self._known.missing_packs.pop())

    def refresh(self, state: sqlite3.Connection, places: Sequence[Place], now: datetime) -> None:
        for namespace, key in places:
            items.refresh_item(state, namespace, key, to_us(now))

    def delete_namespace(self, state: sqlite3.Connection, prefix: Namespace, now: datetime, keeps: int) -> int:
        return items.delete_whole(state, items.ids_below(state, prefix), to_us(now), keeps)

    def sweep(self, state: sqlite3.Connection, now: datetime, keeps: int) -> int:
        return items.delete_whole(state, items.ids_expired(state, to_us(now)), to_us(now), keeps)

    def versions(
        self, state: sqlite3.Connection, prefix: Namespace, key: str | None = None, moment: Moment | None = None
    ) -> Iterator[Version]:
        return items_past.versions(state, prefix, key, moment)

    def forget(self, state: sqlite3.Connection, before: datetime) -> None:
        items_past.forget(state, to_us(before))

    def erase(self, state: sqlite3.Connection, prefix: Namespace) -> Erased:
        ids = items.ids_below(state, prefix)
        erased = Erased(
            items=len(ids), versions=items_past.count_versions(state, prefix),
            vectors=items_index.count_embedded(state, prefix),
        )  # fmt: skip
        items.delete_items(state, ids)
        items_past.erase(state, prefix)
        return erased

    def made_at(self, state: sqlite3.Connection, checkpoint_id: str) -> datetime | None:
        us = items_past.made_at_us(state, checkpoint_id)
        return None if us is None else from_us(us)

    def waiting(
        self, state: sqlite3.Connection, limit: int, model: str, dims: int | None, now: datetime
    ) -> list[Waiting]:
        return items_index.waiting(state, limit, model, dims, to_us(now))

    def written(self, state: sqlite3.Connection, writes: Sequence[PreparedWrite]) -> list[Written | None]:
        return items_index.written(state, writes)

    def set_vectors(self, state: sqlite3.Connection, worked: Sequence[Worked], now: datetime) -> None:
        items_index.set_vectors(state, worked, to_us(now))

    def index_status(self, state: sqlite3.Connection, model: str, dims: int | None) -> IndexStatus:
        return items_index.index_status(state, model, dims)

    def indexed(self, state: sqlite3.Connection, after: int, limit: int) -> list[Indexed]:
        return items_index.indexed(state, after, limit)

    def reindex(self, state: sqlite3.Connection, anew: Sequence[Reindexed], now: datetime) -> None:
        items_index.reindex(state, anew, to_us(now))

    def other_models(self, state: sqlite3.Connection, model: str, dims: int | None) -> list[str]:
        return items_index.other_models(state, model, dims)

    def forget_models(self, state: sqlite3.Connection) -> None:
        items_index.forget_models(state)
