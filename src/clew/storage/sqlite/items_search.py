"""Searching memories in SQLite: what `search` and `ranking` need, fetched; and what waits for its vectors."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from msgspec import json

from clew.storage.sqlite import items
from clew.store.corpus import SEQUENCE_BITS, Corpus
from clew.store.expiry import to_us
from clew.store.filters import Condition, matches
from clew.store.namespaces import list_matching, path_range
from clew.store.operations import Item, Namespace, SearchItem
from clew.store.outbox import IndexStatus, Waiting, Worked
from clew.store.planning import PreparedGet, PreparedListing, PreparedSearch, PreparedWrite
from clew.store.search import CorpusCache, Stored, search
from clew.store.transactional import Place, Reading
from clew.store.values import decode_value

_CACHE_BYTES = 256 * 2**20
_AT_ONCE = 500


class _SqliteShelf:
    """The items below one prefix; see Shelf."""

    def __init__(
        self, connection: sqlite3.Connection, request: PreparedSearch, reading: Reading, cache: CorpusCache
    ) -> None:
        self._connection = connection
        self._request = request
        self._reading = reading
        self._cache = cache
        self._range = path_range(request.prefix)
        self._now_us = to_us(reading.now)

    def newest(self) -> Iterator[Stored]:
        rows = self._connection.execute(
            f"SELECT {items.COLUMNS} FROM {items.JOINED} WHERE n.path >= ? AND n.path < ? AND {items.LIVE} "
            "ORDER BY i.updated_at DESC, i.id DESC",
            (*self._range, self._now_us),
        )
        return map(items.as_stored, rows)

    def corpus(self, dims: int) -> Corpus:
        name = (self._range, self._request.model, dims)
        token = self._connection.execute(
            "SELECT count(*), max(id), sum(changes) FROM clew_namespaces WHERE path >= ? AND path < ?", self._range
        ).fetchone()
        return self._cache.get(name, token, lambda: self._build(dims), keep=self._reading.committed)

    def allowed(self, condition: Condition | None) -> Collection[int] | None:
        if condition is None:
            return self._all_but_expired()
        rows = self._connection.execute(
            f"SELECT i.id, i.value FROM {items.JOINED} WHERE n.path >= ? AND n.path < ? AND {items.LIVE}",
            (*self._range, self._now_us),
        )
        return {item_id for item_id, value in rows if matches(condition, decode_value(value))}

    def by_ids(self, ids: Sequence[int]) -> dict[int, Stored]:
        found: dict[int, Stored] = {}
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self._connection.execute(
                f"SELECT {items.COLUMNS} FROM {items.JOINED} WHERE i.id IN ({marks})", tuple(some)
            )
            found.update((row[0], items.as_stored(row)) for row in rows)
        return found

    def _all_but_expired(self) -> set[int] | None:
        expired = self._connection.execute(
            "SELECT 1 FROM clew_items WHERE expires_at <= ? LIMIT 1", (self._now_us,)
        ).fetchone()
        if expired is None:
            return None
        rows = self._connection.execute(
            f"SELECT i.id FROM {items.JOINED} WHERE n.path >= ? AND n.path < ? AND {items.LIVE}",
            (*self._range, self._now_us),
        )
        return {row[0] for row in rows}

    def _build(self, dims: int) -> Corpus:
        spaces = self._connection.execute(
            "SELECT id FROM clew_namespaces WHERE path >= ? AND path < ? ORDER BY id", self._range
        ).fetchall()
        model = items.find_model(self._connection, self._request.model)
        rows: list[tuple[int, bytes, bytes, bytes]] = []
        for (space,) in spaces:
            rows += self._index_rows(space, model, dims)
        return Corpus(rows, dims)

    def _index_rows(self, space: int, model: int | None, dims: int) -> list[tuple[int, bytes, bytes, bytes]]:
        ids = space << SEQUENCE_BITS, (space + 1) << SEQUENCE_BITS
        if not dims or model is None:
            return self._connection.execute(
                "SELECT id, words, marks, x'' FROM clew_item_index WHERE id >= ? AND id < ? ORDER BY id", ids
            ).fetchall()
        return self._connection.execute(
            "SELECT id, words, marks, CASE WHEN model = ? THEN vectors ELSE x'' END FROM clew_item_index "
            "WHERE id >= ? AND id < ? ORDER BY id",
            (model, *ids),
        ).fetchall()


class SqliteKeeper:
    """The engine's side of the store; see Keeper."""

    def __init__(self) -> None:
        self._cache = CorpusCache(_CACHE_BYTES)

    def get(self, state: sqlite3.Connection, read: PreparedGet, reading: Reading) -> Item | None:
        stored = items.find_item(state, read.namespace, read.key, to_us(reading.now))
        if stored is None:
            return None
        if read.refresh and stored.ttl_us is not None:
            reading.ending.append((read.namespace, read.key))
        return stored.item()

    def search(self, state: sqlite3.Connection, read: PreparedSearch, reading: Reading) -> list[SearchItem]:
        found = search(_SqliteShelf(state, read, reading, self._cache), read)
        if read.refresh:
            reading.ending.extend((s.namespace, s.key) for s, _ in found if s.ttl_us is not None)
        return [item for _, item in found]

    def list_namespaces(self, state: sqlite3.Connection, read: PreparedListing, now: datetime) -> list[Namespace]:
        held = items.held_namespaces(state, to_us(now))
        return list_matching(held, read.conditions, read.max_depth, read.limit, read.offset)

    def apply(self, state: sqlite3.Connection, writes: Sequence[PreparedWrite], now: datetime) -> None:
        items.apply_writes(state, writes, now)

    def refresh(self, state: sqlite3.Connection, places: Sequence[Place], now: datetime) -> None:
        for namespace, key in places:
            items.refresh_item(state, namespace, key, to_us(now))

    def delete_namespace(self, state: sqlite3.Connection, prefix: Namespace) -> int:
        return items.delete_whole(state, items.ids_below(state, prefix))

    def sweep(self, state: sqlite3.Connection, now: datetime) -> int:
        return items.delete_whole(state, items.ids_expired(state, to_us(now)))

    def waiting(self, state: sqlite3.Connection, limit: int, model: str, now: datetime) -> list[Waiting]:
        rows = state.execute(
            "SELECT i.id, i.version, i.value, i.fields, o.attempts "
            "FROM clew_item_outbox o JOIN clew_items i USING (id) WHERE o.due_at <= ? ORDER BY o.due_at, i.id LIMIT ?",
            (to_us(now), limit),
        )
        return [_waiting(row) for row in rows]

    def set_vectors(self, state: sqlite3.Connection, worked: Sequence[Worked], now: datetime) -> None:
        for one in worked:
            same = state.execute("SELECT 1 FROM clew_items WHERE id = ? AND version = ?", (one.id, one.version))
            if same.fetchone() is not None:
                _set_vectors(state, one, to_us(now))

    def index_status(self, state: sqlite3.Connection, model: str) -> IndexStatus:
        count = state.execute("SELECT count(*) FROM clew_items").fetchone()[0]
        models = dict(
            state.execute(
                "SELECT e.name, count(*) FROM clew_item_index x JOIN clew_embedders e ON e.id = x.model GROUP BY e.name"
            ).fetchall()
        )
        reasons = dict(state.execute("SELECT reason, count(*) FROM clew_item_outbox GROUP BY reason").fetchall())
        embedded = models.pop(model, 0)
        return IndexStatus(
            items=count, embedded=embedded, waiting=sum(reasons.values()), other_models=models, reasons=reasons
        )


def _waiting(row: Sequence[Any]) -> Waiting:
    item_id, version, value, fields, attempts = row
    paths = None if fields is None else tuple(json.decode(fields, type=list[str]))
    return Waiting(id=item_id, version=version, value=value, fields=paths, attempts=attempts)


def _set_vectors(state: sqlite3.Connection, worked: Worked, now_us: int) -> None:
    if worked.vectors is None:
        state.execute(
            "UPDATE clew_item_outbox SET reason = ?, attempts = attempts + 1, due_at = ? WHERE id = ?",
            (worked.reason, now_us + worked.again_in_s * 1_000_000, worked.id),
        )
        return
    state.execute(
        "UPDATE clew_item_index SET model = ?, hashes = ?, vectors = ? WHERE id = ?",
        (*items.vector_columns(state, worked.vectors), worked.id),
    )
    state.execute("DELETE FROM clew_item_outbox WHERE id = ?", (worked.id,))
    state.execute("UPDATE clew_namespaces SET changes = changes + 1 WHERE id = ?", (worked.id >> SEQUENCE_BITS,))
