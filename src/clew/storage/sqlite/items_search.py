"""Searching memories in SQLite: what `search` and `ranking` need, fetched in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence

from msgspec import json

from clew.storage.sqlite import items
from clew.storage.sqlite.items_fields import DeclaredFields
from clew.storage.sqlite.items_filter import compile_filter
from clew.storage.sqlite.items_index import find_model
from clew.storage.sqlite.items_newest import Newest
from clew.storage.sqlite.items_packs import read_slabs
from clew.store.corpus import SEQUENCE_BITS, Corpus
from clew.store.expiry import to_us
from clew.store.filters import Filter, meets
from clew.store.keeper import Reading
from clew.store.namespaces import path_range
from clew.store.planning import PreparedSearch
from clew.store.search import EXACT_ITEMS, CachedCorpus, CorpusCache, Stored

_MOST_UNROUNDED = 500  # items: of more, to read whole vectors takes longer than to score a page again by its own
# Codes or vectors where the query's may be compared with them; nothing where not.
_VECTORS = {
    True: ("CASE WHEN x.model = :model THEN x.codes ELSE x'' END", ""),
    False: ("coalesce(v.vectors, x'')", "LEFT JOIN clew_item_vectors v ON v.id = x.id AND x.model = :model"),
}
# Without words: it is gone, from wherever it was.
_CHANGED = f"""
SELECT c.id, x.words, x.marks, {{}} FROM (SELECT DISTINCT id FROM clew_item_changes WHERE number > :since) c
LEFT JOIN clew_item_index x ON x.id = c.id {{}} LEFT JOIN clew_namespaces n ON n.id = c.id >> {SEQUENCE_BITS}
WHERE x.id IS NULL OR n.path >= :start AND n.path < :end ORDER BY c.id
"""
_STATE = """
SELECT (SELECT max(number) FROM clew_item_changes), EXISTS (SELECT 1 FROM clew_items WHERE expires_at <= ?)
"""


class Known:
    """What a store remembers of its file.

    Args:
        cache_bytes: the most memory for corpora.
    """

    def __init__(self, cache_bytes: int) -> None:
        self.corpora = CorpusCache(cache_bytes)
        self.fields = DeclaredFields()
        self.missing_packs: set[int] = set()


class SqliteShelf:
    """The items below one prefix; see Shelf."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        request: PreparedSearch,
        reading: Reading,
        known: Known,
    ) -> None:
        self._connection = connection
        self._request = request
        self._reading = reading
        self._known = known
        self._range = path_range(request.prefix)
        self._now_us = to_us(reading.now)
        self._seen: tuple[int, bool] | None = None

    def newest(self, condition: Filter | None) -> Iterator[Stored]:
        source = self._known.fields.source_of(self._connection, condition)
        newest = Newest(self._connection, self._range, self._now_us, condition, source)
        return map(Stored.of, newest.rows(self._request.offset + self._request.limit))

    def corpus(self, dims: int) -> Corpus:
        name = (self._range, self._request.model, dims)
        change = self._state()[0]
        return self._known.corpora.get(
            name, change, self._refresh, lambda: self._build(dims), keep=self._reading.committed
        )

    def allowed(self, condition: Filter | None) -> Collection[int] | None:
        if condition is None:
            return self._all_but_expired()
        sql, parameters = compile_filter(condition)
        source = self._known.fields.source_of(self._connection, condition)
        table, letter = source.first
        rows = self._connection.execute(
            f"SELECT i.id, i.value FROM clew_namespaces n CROSS JOIN {table} {source.join} "
            f"WHERE n.path >= ? AND n.path < ? AND {letter}.namespace = n.id AND {source.where} "
            f"AND {items.LIVE} AND {sql}",
            (*self._range, *source.values, self._now_us, *parameters),
        )
        return {item_id for item_id, value in rows if meets(condition, value)}

    def by_ids(self, ids: Sequence[int]) -> dict[int, Stored]:
        rows = self._connection.execute(
            f"SELECT {items.COLUMNS} FROM json_each(?) wanted CROSS JOIN clew_items i ON i.id = wanted.value "
            "JOIN clew_namespaces n ON n.id = i.namespace",
            (json.encode(ids).decode(),),
        )
        return {row[0]: Stored.of(row) for row in rows}

    def _state(self) -> tuple[int, bool]:
        """Give the number of the last change, and whether there is anything that has expired."""
        if self._seen is None:
            change, expired = self._connection.execute(_STATE, (self._now_us,)).fetchone()
            self._seen = change or 0, bool(expired)
        return self._seen

    def _all_but_expired(self) -> set[int] | None:
        if not self._state()[1]:
            return None
        rows = self._connection.execute(
            f"SELECT i.id FROM {items.JOINED} WHERE n.path >= ? AND n.path < ? AND {items.LIVE}",
            (*self._range, self._now_us),
        )
        return {row[0] for row in rows}

    def _refresh(self, known: CachedCorpus) -> Corpus | None:
        """Give a corpus with what has changed since; None where that is not known any more, or where it gets wide."""
        first = self._connection.execute("SELECT min(number) FROM clew_item_changes").fetchone()[0]
        if first is None or known.change < first - 1:
            return None
        corpus, (start, end) = known.corpus, self._range
        changed = self._connection.execute(
            _CHANGED.format(*_VECTORS[corpus.coded]),
            {"model": self._model(corpus.dims), "since": known.change, "start": start, "end": end},
        ).fetchall()
        rows = [row for row in changed if row[1] is not None]
        if not corpus.coded and len(corpus) + len(rows) > EXACT_ITEMS:
            return None
        return corpus.changed(rows, [row[0] for row in changed if row[1] is None]) if changed else corpus

    def _build(self, dims: int) -> Corpus:
        spaces = self._connection.execute(
            f"SELECT n.id, {items.NEXT_ID} FROM clew_namespaces n WHERE n.path >= ? AND n.path < ? ORDER BY n.id",
            self._range,
        ).fetchall()
        written = sum(next_id - (space << SEQUENCE_BITS) for space, next_id in spaces)
        coded, rounded = written > EXACT_ITEMS, _MOST_UNROUNDED < written <= EXACT_ITEMS
        ids = [space for space, _ in spaces]
        missing: set[int] = set()
        model = self._model(dims)
        slabs = read_slabs(self._connection, ids, model, dims, coded=coded, rounded=rounded, missing=missing)
        corpus = Corpus.of_slabs(slabs, dims, coded=coded, rounded=rounded)
        self._known.missing_packs.update(missing)
        return corpus

    def _model(self, dims: int) -> int | None:
        return find_model(self._connection, self._request.model, dims)

    def vectors(self, ids: Sequence[int]) -> dict[int, bytes]:
        found = self._connection.execute(
            "SELECT id, vectors FROM clew_item_vectors WHERE id IN (SELECT value FROM json_each(?))",
            (json.encode(ids).decode(),),
        )
        return dict(found.fetchall())
