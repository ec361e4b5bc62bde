"""Searching memories in PostgreSQL: what `search` and `ranking` need, fetched in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from clew.storage.postgres.items import BELOW, COLUMNS, JOINED, LIVE
from clew.storage.postgres.items_filter import compile_filter
from clew.storage.postgres.items_index import find_model
from clew.storage.postgres.items_newest import Newest
from clew.storage.postgres.items_promising import COMPARABLE, ROW, Promising
from clew.storage.postgres.snapshots import Snapshot, current_snapshot
from clew.storage.postgres.statements import rows
from clew.store.corpus import Corpus
from clew.store.expiry import to_us
from clew.store.filters import Filter, meets
from clew.store.keeper import Reading
from clew.store.namespaces import path_range
from clew.store.planning import PreparedSearch
from clew.store.search import EXACT_ITEMS, CachedCorpus, CorpusCache, Stored

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("clew.store")

# OFFSET 0: without figures the server would go through all items in the order of their ids.
_ROWS = f"""
SELECT {ROW} FROM (SELECT id FROM clew_namespaces n WHERE {BELOW} OFFSET 0) AS n
    CROSS JOIN LATERAL (SELECT * FROM clew_item_index WHERE namespace = n.id OFFSET 0) AS x ORDER BY x.id
"""
# Without words: it is gone, from wherever it was.
_CHANGED = f"""
SELECT c.id, {ROW} FROM (
    SELECT DISTINCT id FROM clew_item_changes
    WHERE xact >= %(since)s::text::xid8 AND NOT pg_visible_in_snapshot(xact, %(known)s::text::pg_snapshot)) c
LEFT JOIN clew_item_index x ON x.id = c.id LEFT JOIN clew_namespaces n ON n.id = x.namespace
WHERE x.id IS NULL OR {BELOW} ORDER BY c.id
"""


class Moved(Exception):
    """What was found a moment ago is gone: another transaction was committed between two statements of this one."""


class PostgresShelf:
    """The items below one prefix; see Shelf."""

    def __init__(
        self, connection: psycopg.Connection, request: PreparedSearch, reading: Reading, cache: CorpusCache
    ) -> None:
        self._connection = connection
        self._request = request
        self._reading = reading
        self._cache = cache
        self._range = path_range(request.prefix)
        self._among: list[int] | None = None  # all that `corpus` gave, if it is a part
        self._values: dict[str, Any] = {
            "start": self._range[0], "end": self._range[1], "now": to_us(reading.now),
        }  # fmt: skip

    def newest(self, condition: Filter | None) -> Iterator[Stored]:
        newest = Newest(self._connection, self._range, self._values["now"], condition)
        return map(Stored.of, newest.rows(self._request.offset + self._request.limit))

    def corpus(self, dims: int) -> Corpus:
        name = (self._range, self._request.model, dims)
        if name not in self._cache and self._does_with_less(name) and (part := self._part(dims)) is not None:
            return part
        snapshot = current_snapshot(self._connection)
        return self._cache.get(name, snapshot, self._refresh, lambda: self._build(dims), keep=self._reading.committed)

    def allowed(self, condition: Filter | None) -> Collection[int] | None:
        if condition is None and not self._some_expired():
            return None
        sql, operands, is_exact = compile_filter(condition)
        value = "" if is_exact else ", i.value"
        among = BELOW if self._among is None else "i.id = ANY (%(among)s)"
        found = self._run(
            f"SELECT i.id{value} FROM {JOINED} WHERE {among} AND {LIVE} AND {sql}", among=self._among, **operands
        )
        if is_exact:
            return {row[0] for row in found}
        return {item_id for item_id, value in found if meets(condition, value)}

    def by_ids(self, ids: Sequence[int]) -> dict[int, Stored]:
        found = self._run(f"SELECT {COLUMNS} FROM {JOINED} WHERE i.id = ANY (%(ids)s)", ids=list(ids))
        if len(found) < len(ids) and not self._reading.committed:
            raise Moved
        return {row[0]: Stored.of(row) for row in found}

    def vectors(self, ids: Sequence[int]) -> dict[int, bytes]:
        found = self._run(
            f"SELECT x.id, x.vectors FROM clew_item_index x WHERE x.id = ANY (%(ids)s) AND {COMPARABLE}",
            ids=list(ids), **self._comparable(self._request.dims),
        )  # fmt: skip
        return dict(found)

    def _does_with_less(self, name: object) -> bool:
        return self._request.mode == "semantic" or not self._cache.is_worth_building(name)

    def _part(self, dims: int) -> Corpus | None:
        """Give what the page may show of a wide prefix; None where it is not wide, or the database cannot say what."""
        request, allowed = self._request, compile_filter(self._request.condition)
        is_open = request.condition is None and not self._some_expired()
        promising = Promising(
            self._connection, request, self._values, allowed, is_open=is_open, wide=EXACT_ITEMS
        )  # fmt: skip
        part = promising.corpus(dims)
        self._among = None if part is None else part.ids.tolist()
        return part

    def _some_expired(self) -> bool:
        # In order, which only the index of what expires gives: without figures the server would go through all items.
        return bool(self._run("SELECT 1 FROM clew_items WHERE expires_at <= %(now)s ORDER BY expires_at LIMIT 1"))

    def _refresh(self, known: CachedCorpus) -> Corpus | None:
        """Give a corpus with what has changed since; None where that is not known any more, or where it gets wide."""
        corpus, snapshot = known.corpus, known.change
        assert isinstance(snapshot, Snapshot)  # as `corpus` gave it to the cache
        [(up_to,)] = self._run("SELECT (SELECT up_to FROM clew_item_changes_gone)::text::bigint")
        if up_to is not None and up_to >= snapshot.first_running:
            return None
        changed = self._run(
            _CHANGED.format("codes" if corpus.coded else "vectors"), **self._comparable(corpus.dims),
            since=str(snapshot.first_running), known=snapshot.text,
        )  # fmt: skip
        kept = [row[1:] for row in changed if row[1] is not None]
        if not corpus.coded and len(corpus) + len(kept) > EXACT_ITEMS:
            return None
        return corpus.changed(kept, [row[0] for row in changed if row[1] is None]) if changed else corpus

    def _build(self, dims: int) -> Corpus:
        [(written,)] = self._run(f"SELECT coalesce(sum(next_sequence), 0)::bigint FROM clew_namespaces n WHERE {BELOW}")
        coded = written > EXACT_ITEMS
        if coded and self._request.mode == "semantic":
            log.warning("all vectors of %d memories are read for a search by meaning; see store.setup()", written)
        found = self._run(_ROWS.format("codes" if coded else "vectors"), **self._comparable(dims))
        return Corpus(found, dims, coded=coded)

    def _comparable(self, dims: int) -> dict[str, int | None]:
        return {"model": find_model(self._connection, self._request.model), "dims": dims}

    def _run(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        return rows(self._connection, sql, self._values | values)
