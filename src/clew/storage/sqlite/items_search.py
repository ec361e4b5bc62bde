"""Searching memories in SQLite: what `search` and `ranking` need, fetched in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence

from clew.storage.sqlite import items
from clew.storage.sqlite.items_filter import compile_filter
from clew.storage.sqlite.items_index import find_model
from clew.store.corpus import SEQUENCE_BITS, Corpus
from clew.store.expiry import to_us
from clew.store.filters import Condition, matches
from clew.store.keeper import Reading
from clew.store.namespaces import path_range
from clew.store.planning import PreparedSearch
from clew.store.search import EXACT_ITEMS, CorpusCache, Stored
from clew.store.values import decode_value

_AT_ONCE = 500
# Of the query's model and length; each embedded text has a hash of 16 bytes and a vector of 4 bytes a dimension.
_COMPARABLE = "(model = ? AND length(vectors) * 4 = length(hashes) * ?)"


class SqliteShelf:
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

    def newest(self, condition: Condition | None) -> Iterator[Stored]:
        sql, parameters = compile_filter(condition)
        rows = self._connection.execute(
            f"SELECT {items.COLUMNS} FROM {items.JOINED} WHERE n.path >= ? AND n.path < ? AND {items.LIVE} AND {sql} "
            "ORDER BY i.updated_at DESC, i.id DESC",
            (*self._range, self._now_us, *parameters),
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
        sql, parameters = compile_filter(condition)
        rows = self._connection.execute(
            f"SELECT i.id, i.value FROM {items.JOINED} WHERE n.path >= ? AND n.path < ? AND {items.LIVE} AND {sql}",
            (*self._range, self._now_us, *parameters),
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
            "SELECT id, next_sequence FROM clew_namespaces WHERE path >= ? AND path < ? ORDER BY id", self._range
        ).fetchall()
        model = find_model(self._connection, self._request.model)
        coded = sum(written for _, written in spaces) > EXACT_ITEMS
        rows: list[tuple[int, bytes, bytes, bytes]] = []
        for space, _ in spaces:
            rows += self._index_rows(space, model if dims else None, "codes" if coded else "vectors")
        return Corpus(rows, dims, coded=coded)

    def vectors(self, ids: Sequence[int]) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        model = find_model(self._connection, self._request.model)
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            found.update(
                self._connection.execute(
                    f"SELECT id, vectors FROM clew_item_index WHERE {_COMPARABLE} AND id IN ({marks})",
                    (model, self._request.dims, *some),
                ).fetchall()
            )
        return found

    def _index_rows(self, space: int, model: int | None, column: str) -> list[tuple[int, bytes, bytes, bytes]]:
        ids = space << SEQUENCE_BITS, (space + 1) << SEQUENCE_BITS
        if model is None:
            return self._connection.execute(
                "SELECT id, words, marks, x'' FROM clew_item_index WHERE id >= ? AND id < ? ORDER BY id", ids
            ).fetchall()
        return self._connection.execute(
            f"SELECT id, words, marks, CASE WHEN {_COMPARABLE} THEN {column} ELSE x'' END FROM clew_item_index "
            "WHERE id >= ? AND id < ? ORDER BY id",
            (model, self._request.dims, *ids),
        ).fetchall()
