"""The part of a prefix with many items that a page may show, as the database finds it: near in meaning, or by words.

For a hybrid search also what surrounds these items, and a sample of all others, so that `ranking` measures as it does
where it has everything (see clew.store.parts). What the database cannot say is left to who reads everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clew.storage.postgres.halves import halves_text
from clew.storage.postgres.items_filter import Compiled
from clew.storage.postgres.items_index import find_model
from clew.storage.postgres.items_nearby import Nearby, find_nearby, nearest, without_vectors
from clew.storage.postgres.items_words import Spaces, by_words, count_items, find_spaces
from clew.storage.postgres.statements import rows
from clew.store.corpus import Corpus
from clew.store.parts import drawn_ranges, merged, ranges_around, stand_for
from clew.store.planning import PreparedSearch
from clew.store.ranking import LEAST_SCORED_AGAIN, weighted_query

if TYPE_CHECKING:
    import numpy as np
    import psycopg
    from numpy.typing import NDArray

# Of the query's model and length; each embedded text has a hash of 16 bytes and a vector of 4 bytes a dimension.
COMPARABLE = "x.model = %(model)s AND length(x.vectors) * 4 = length(x.hashes) * %(dims)s"
ROW = f"x.id, x.words, x.marks, CASE WHEN {COMPARABLE} THEN x.{{}} ELSE '' END"
_OF_SOME = f"SELECT {ROW.format('vectors')} FROM clew_item_index x WHERE x.id = ANY (%(ids)s) ORDER BY x.id"
_WORDS_OF_SOME = (
    "SELECT x.id, x.words, ''::bytea, ''::bytea FROM clew_item_index x WHERE x.id = ANY (%(ids)s) ORDER BY x.id"
)
# OFFSET 0: see items_search.
_WITHIN = f"""
SELECT {ROW.format("codes")} FROM unnest(%(first)s::bigint[], %(last)s::bigint[]) AS r (first, last)
    CROSS JOIN LATERAL (SELECT * FROM clew_item_index WHERE id BETWEEN r.first AND r.last OFFSET 0) AS x
"""

_Row = tuple[int, bytes, bytes, bytes]


class Promising:
    """What one search may show.

    Args:
        values: parameters of BELOW and LIVE.
        allowed: the search's condition.
        is_open: whether every item meets it, and none has expired.
        wide: how many items are so few that all of them are read.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        request: PreparedSearch,
        values: dict[str, Any],
        allowed: Compiled,
        *,
        is_open: bool,
        wide: int,
    ) -> None:
        self._connection = connection
        self._request = request
        self._allowed = allowed
        self._asked = None if is_open else allowed
        self._wide = wide
        self._page = request.offset + request.limit
        self._most = max(LEAST_SCORED_AGAIN, 4 * self._page)
        self._values: dict[str, Any] = {**values, "most": self._most}

    def corpus(self, dims: int) -> Corpus | None:
        """Give those items that the page may show, and what goes with them; None where the database cannot say."""
        if not self._allowed.is_exact:
            return None
        if self._request.mode == "keyword":
            return self._by_words()
        nearby = self._nearby(dims)
        if nearby is None:
            return None
        return self._by_meaning(nearby) if self._request.mode == "semantic" else self._by_both(nearby)

    def _nearby(self, dims: int) -> Nearby | None:
        model = find_model(self._connection, self._request.model)
        if model is None or not any(self._request.vector or b""):
            return None
        nearby = find_nearby(self._connection, self._values, model, dims)
        return nearby if nearby is not None and nearby.items_below > self._wide else None

    def _spaces(self) -> Spaces | None:
        terms = len(self._request.words)
        spaces = find_spaces(self._connection, self._values, terms) if terms else None
        return spaces if spaces is not None and spaces.written > self._wide else None

    def _by_meaning(self, nearby: Nearby) -> Corpus:
        return Corpus(self._run(_OF_SOME, nearby, ids=self._nearest(nearby, self._request.vector or b"")), nearby.dims)

    def _by_words(self) -> Corpus | None:
        spaces = self._spaces()
        if spaces is None:
            return None
        size = count_items(self._connection, self._values)
        having, ids = self._best_by_words(spaces, size)
        corpus = Corpus(self._run(_WORDS_OF_SOME, ids=ids), 0)
        every = ranges_around(ids)
        corpus.whole = stand_for(corpus.ids, every[:0], every, size, having)
        return corpus

    def _by_both(self, nearby: Nearby) -> Corpus | None:
        spaces = self._spaces()
        if spaces is None:
            return None
        size = count_items(self._connection, self._values)
        if 2 * size < spaces.written:
            return None  # so much was deleted that ranges of ids would give no sample, and no neighbours
        having, ids = self._best_by_words(spaces, size)
        drawn, chosen = drawn_ranges(spaces.places), ranges_around(())
        found = self._within(drawn, nearby)

        def part() -> Corpus:
            corpus = Corpus(sorted(found.values()), nearby.dims, coded=True)
            corpus.whole = stand_for(corpus.ids, drawn, chosen, size, having)
            return corpus

        # The sample says how common those words are whose vectors add up to the query's.
        chosen = ranges_around([*ids, *self._nearest(nearby, weighted_query(part(), self._request))])
        found |= self._within(chosen, nearby)
        return part()

    def _best_by_words(self, spaces: Spaces, size: int) -> tuple[dict[int, int], list[int]]:
        return by_words(self._connection, spaces, self._request.words, {**self._values, "size": size}, self._asked)

    def _nearest(self, nearby: Nearby, vector: bytes) -> list[int]:
        """Give the ids of the nearest items and, if they fill no page, of the newest that cannot be compared."""
        values = {**self._values, "query": halves_text(vector, nearby.dims)}
        ids = nearest(self._connection, nearby, values, self._asked, self._page, self._most)
        if len(ids) < self._page and self._request.min_score is None:
            ids += without_vectors(self._connection, nearby, values, self._allowed, self._page)
        return ids

    def _within(self, ranges: NDArray[np.int64], nearby: Nearby) -> dict[int, _Row]:
        first, last = merged(ranges).T.tolist()
        return {row[0]: row for row in self._run(_WITHIN, nearby, first=first, last=last)}

    def _run(self, sql: str, nearby: Nearby | None = None, **values: Any) -> list[Any]:
        comparable = {"model": nearby.model, "dims": nearby.dims} if nearby else {}
        return rows(self._connection, sql, {**self._values, **comparable, **values})
