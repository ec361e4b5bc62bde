"""Searching for words below a prefix with many items: the database says which items have them, the best first.

An index gives the items that have a word of the query, and the database counts and weighs the words as `ranking` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from clew.storage.postgres.items import BELOW, LIVE
from clew.storage.postgres.items_filter import Compiled
from clew.storage.postgres.statements import rows
from clew.store.ranking import K1

if TYPE_CHECKING:
    import psycopg

_MOST_KEYS = 2_000  # a term in a namespace each; with more, going through the index takes longer than reading all
_SPACES = f"SELECT n.id::bigint << 32, n.next_sequence FROM clew_namespaces n WHERE {BELOW} LIMIT {_MOST_KEYS}"
# OFFSET 0: see items_search.
_SIZE = f"""
SELECT coalesce(sum(c.items), 0)::bigint FROM (SELECT id FROM clew_namespaces n WHERE {BELOW} OFFSET 0) AS n
    CROSS JOIN LATERAL (SELECT count(*) AS items FROM clew_item_index x WHERE x.namespace = n.id) AS c
"""
# A term occurs in the text of the words as often as the text gets shorter without it. What is materialized is read in
# its order.
_BY_WORDS = f"""
WITH matching AS MATERIALIZED (
    SELECT x.id, x.words FROM clew_item_index x
    WHERE clew_terms_of(x.id, x.words) && %(keys)s::bigint[] OFFSET 0
), occurring AS MATERIALIZED (
    SELECT m.id, t.term, length(m.words) / 4.0::float8
        - octet_length(replace(encode(m.words, 'hex'), encode(t.term, 'hex'), '')) / 8.0::float8 AS times
    FROM matching m CROSS JOIN unnest(%(terms)s::bytea[]) AS t (term) WHERE position(t.term IN m.words) > 0
), counted AS MATERIALIZED (
    SELECT term, count(*) AS items, ln(1 + (%(size)s - count(*) + 0.5::float8) / (count(*) + 0.5)) AS weight
    FROM occurring GROUP BY term
), best AS MATERIALIZED (
    SELECT o.id, sum(c.weight * o.times / (o.times + {K1}::float8)) AS score
    FROM occurring o JOIN counted c USING (term) GROUP BY o.id ORDER BY score DESC, o.id DESC
)
SELECT term, items FROM counted UNION ALL SELECT NULL, id FROM (
    (SELECT b.id FROM best b LIMIT %(most)s) UNION (SELECT b.id FROM best b WHERE {{open}} LIMIT %(most)s)) AS u
"""
# One by one, the best first, until there are enough.
_OPEN = f"(SELECT {LIVE} AND {{filter}} FROM clew_items i WHERE i.id = b.id)"


class Spaces(Struct, frozen=True, kw_only=True):
    """The namespaces below a prefix.

    Args:
        places: of each the first id that it may have, and how many items were ever written there.
        written: how many were ever written in all.
    """

    places: Sequence[tuple[int, int]]
    written: int


def find_spaces(connection: psycopg.Connection, paths: dict[str, Any], terms: int) -> Spaces | None:
    """Give the namespaces below a prefix; None where there are too many for so many terms.

    Args:
        paths: parameters of BELOW.
    """
    places = [(first, written) for first, written in rows(connection, _SPACES, paths)]
    if len(places) * terms >= _MOST_KEYS:
        return None
    return Spaces(places=places, written=sum(written for _, written in places))


def count_items(connection: psycopg.Connection, paths: dict[str, Any]) -> int:
    """Give how many items are indexed below a prefix, expired ones included."""
    return int(rows(connection, _SIZE, paths)[0][0])


def by_words(
    connection: psycopg.Connection,
    spaces: Spaces,
    terms: Sequence[int],
    values: dict[str, Any],
    allowed: Compiled | None,
) -> tuple[dict[int, int], list[int]]:
    """Give how many items have each term, and the ids of those that the words answer best, in no order.

    Those of all, for they lift what surrounds them, and those of the allowed.

    Args:
        terms: of the query.
        values: parameters of LIVE, `size`, the number of all items, and `most` of the ids.
        allowed: what these must meet; None: nothing, and none of them has expired.
    """
    kept = {pack("<I", term): term for term in terms}
    keys = [first | int.from_bytes(data, "big") for first, _ in spaces.places for data in kept]
    is_open = _OPEN.format(filter=allowed.sql) if allowed else "true"
    parameters = {**values, "keys": keys, "terms": list(kept), **(allowed.parameters if allowed else {})}
    found = rows(connection, _BY_WORDS.format(open=is_open), parameters)
    having = dict.fromkeys(terms, 0) | {kept[data]: number for data, number in found if data is not None}
    return having, [number for data, number in found if data is None]
