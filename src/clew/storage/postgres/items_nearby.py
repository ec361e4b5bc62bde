"""Searching by meaning below a prefix with many items: the database says which vectors are near, by pgvector.

What it says is ranked afterwards like everything else, by the vectors themselves. Items are compared one by one, or
found by an HNSW index where the prefix is so large a part of all that this is quicker. What an index does not give,
because few of what it finds lie below the prefix and pass the filter, is compared one by one after all: nothing cuts
results short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from clew.storage.postgres.items import BELOW, JOINED, LIVE
from clew.storage.postgres.items_filter import Compiled
from clew.storage.postgres.statements import rows

if TYPE_CHECKING:
    import psycopg

INDEXED_VECTORS = 50_000  # of one model: with fewer, comparing all takes a tenth of a second, and puts stay quick
_IN_VAIN = 4  # times as many as it would without a filter may an index look at, before items are compared one by one
_MOST_SEARCHED = 1_000  # at once, of pgvector
_MOST_INDEXED_DIMS = {"halfvec": 4_000, "vector": 2_000}  # of pgvector, by type
LEAST_SHARE = 10_000  # an index is quicker where the items below the prefix, squared, are more than this times all

_NAME = "clew_item_nearby_{model:d}_{dims:d}"
_LOOK = f"""
SELECT quote_ident(s.nspname), t.typname::text, c.reltuples::float8,
    coalesce((SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass(%(index)s)), false),
    (SELECT coalesce(sum(next_sequence), 0)::bigint FROM clew_namespaces n WHERE {BELOW}),
    EXISTS (SELECT 1 FROM clew_item_index x JOIN clew_namespaces n ON n.id = x.namespace
        WHERE {BELOW} AND x.model = %(model)s AND NOT x.is_near)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'embedding'
    JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace s ON s.oid = t.typnamespace
WHERE c.oid = to_regclass('clew_item_nearby')
"""
_PLACE = """
SELECT quote_ident(s.nspname), t.typname::text FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_namespace s ON s.oid = t.typnamespace
WHERE a.attrelid = to_regclass(%s) AND a.attname = 'embedding'
"""
_UNDER_WAY = "SELECT 1 FROM pg_stat_progress_create_index WHERE relid = to_regclass(%s)"
_INDEXES = """
SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_am a ON a.oid = c.relam WHERE i.indrelid = to_regclass(%s) AND a.amname = 'hnsw'
"""
_LARGE = "SELECT model, dims FROM {table} GROUP BY model, dims HAVING count(*) >= %s AND dims <= %s"
_MAKE = (
    "CREATE INDEX CONCURRENTLY {name} ON {table} USING hnsw "
    "((embedding::{place}.{type}({dims:d})) {place}.{type}_cosine_ops) WHERE model = {model:d} AND dims = {dims:d}"
)
_BY_INDEX = f"""
SELECT v.id FROM clew_item_nearby v
WHERE {{comparable}} AND (SELECT {BELOW} FROM clew_namespaces n WHERE n.id = v.namespace) AND {{is_open}}
ORDER BY v.embedding::{{place}}.{{type}}({{dims:d}}) OPERATOR({{place}}.<=>) %(query)s::{{place}}.{{type}}({{dims:d}})
LIMIT %(most)s
"""
# A vector of length 0 is as far from everything as one that has nothing in common with it. OFFSET 0: so that nothing is
# read in the order of ids only because it is to be grouped.
_ONE_BY_ONE = """
WITH open AS MATERIALIZED ({open})
SELECT id FROM (
    SELECT v.id, coalesce(nullif(v.embedding OPERATOR({place}.<=>) %(query)s::{place}.{type}, 'NaN'), 1) AS distance
    FROM open JOIN clew_item_nearby v ON {same} WHERE {comparable} OFFSET 0) AS compared
GROUP BY id ORDER BY min(distance), id DESC LIMIT %(most)s
"""
_OPEN_SPACES, _SAME_SPACE = f"SELECT n.id FROM clew_namespaces n WHERE {BELOW}", "v.namespace = open.id"
_OPEN_ITEMS, _SAME_ITEM = f"SELECT i.id FROM {JOINED} WHERE {BELOW} AND {LIVE} AND {{filter}}", "v.id = open.id"
_WITHOUT = f"""
SELECT i.id FROM {JOINED} WHERE {BELOW} AND {LIVE} AND {{filter}}
    AND NOT EXISTS (SELECT 1 FROM clew_item_nearby v WHERE v.id = i.id AND {{comparable}})
ORDER BY i.id DESC LIMIT %(most)s
"""


class Nearby(Struct, frozen=True, kw_only=True):
    """What a database can say of the vectors of one model below one prefix.

    Args:
        place: the schema of pgvector, quoted.
        type: of pgvector, as which they are kept.
        model: number of the embedder.
        dims: length of the vectors.
        items_below: how many items were ever written there.
        all_vectors: how many vectors there are altogether, about.
        has_index: whether there is an index of this model's vectors.
    """

    place: str
    type: str
    model: int
    dims: int
    items_below: int
    all_vectors: float
    has_index: bool

    @property
    def asks_index(self) -> bool:
        """Whether the index finds more quickly than comparing one by one."""
        return self.has_index and self.items_below**2 > LEAST_SHARE * self.all_vectors

    def most_looked_at(self, wanted: int) -> int:
        """How many vectors of all the index may find for so many below the prefix."""
        return int(_IN_VAIN * wanted * max(1, self.all_vectors / self.items_below))

    @property
    def comparable(self) -> str:
        """The condition on `v` of vectors that may be compared with the query's; an index has the same."""
        return f"v.model = {self.model:d} AND v.dims = {self.dims:d}"


def find_nearby(connection: psycopg.Connection, paths: dict[str, Any], model: int, dims: int) -> Nearby | None:
    """Give what the database can say; None where it has not all vectors, or no pgvector.

    Args:
        paths: parameters of BELOW.
    """
    name = _NAME.format(model=model, dims=dims)
    found = rows(connection, _LOOK, {**paths, "model": model, "index": name})
    if not found or found[0][5]:
        return None
    place, type_, total, has_index, below, _ = found[0]
    return Nearby(
        place=place, type=type_, model=model, dims=dims, items_below=below, all_vectors=total, has_index=has_index
    )


def nearest(
    connection: psycopg.Connection,
    nearby: Nearby,
    values: dict[str, Any],
    allowed: Compiled | None,
    page: int,
    most: int,
) -> list[int]:
    """Give the ids of items, those with the nearest vector first; all there are if these are fewer than `page`.

    Args:
        values: parameters of BELOW and LIVE, and `query`, as `halves_text` gives it.
        allowed: what items must meet; None: nothing, and none of them has expired.
        most: of ids, about.
    """
    values = {**values, "most": most, **(allowed.parameters if allowed else {})}
    names: dict[str, Any] = {
        "place": nearby.place, "type": nearby.type, "dims": nearby.dims, "comparable": nearby.comparable,
    }  # fmt: skip
    if nearby.asks_index:
        is_open = f"(SELECT {LIVE} AND {allowed.sql} FROM clew_items i WHERE i.id = v.id)" if allowed else "true"
        _prefer_index(connection, most, nearby.most_looked_at(most))
        found = rows(connection, _BY_INDEX.format(is_open=is_open, **names), values)
        rows(connection, "SELECT set_config('enable_sort', 'on', true)")
        ids = list(dict.fromkeys(item_id for (item_id,) in found))
        if len(found) == most and len(ids) >= page:
            return ids
    is_open, same = (_OPEN_ITEMS.format(filter=allowed.sql), _SAME_ITEM) if allowed else (_OPEN_SPACES, _SAME_SPACE)
    found = rows(connection, _ONE_BY_ONE.format(open=is_open, same=same, **names), values)
    return [item_id for (item_id,) in found]


def without_vectors(
    connection: psycopg.Connection, nearby: Nearby, values: dict[str, Any], allowed: Compiled, most: int
) -> list[int]:
    """Give the ids of the newest items that have no vector to compare."""
    sql = _WITHOUT.format(filter=allowed.sql, comparable=nearby.comparable)
    return [item_id for (item_id,) in rows(connection, sql, {**values, "most": most, **allowed.parameters})]


def _prefer_index(connection: psycopg.Connection, wanted: int, looked_at: int) -> None:
    """Let the planner take an HNSW index, and let a scan go on until the filter let enough through.

    Relaxed order, for what is found is put in order afterwards, and strict order would drop what comes late.

    Args:
        wanted: how many vectors.
        looked_at: the most that it may find in all.
    """
    rows(
        connection,
        "SELECT set_config('enable_sort', 'off', true), set_config('hnsw.ef_search', %s, true), "
        "set_config('hnsw.max_scan_tuples', %s, true), set_config('hnsw.iterative_scan', 'relaxed_order', true)",
        (str(min(wanted, _MOST_SEARCHED)), str(looked_at)),
    )


def make_table(connection: psycopg.Connection, halfvec: bool | None = None) -> None:
    """Make what the rest of this file reads, where there is pgvector by now, or where it may be made.

    Args:
        halfvec: see PostgresStore.setup.
    """
    [(is_there,)] = rows(connection, "SELECT clew_make_nearby()")
    if is_there and halfvec is not None:
        rows(connection, "SELECT clew_keep_nearby_as(%s)", ("halfvec" if halfvec else "vector",))


def make_indexes(connection: psycopg.Connection, schema: str) -> None:
    """Make an index for each model with so many vectors that one is worth it. Others go on reading and writing.

    Takes minutes for a million vectors.

    Args:
        connection: outside a transaction.
        schema: quoted.
    """
    table = f"{schema}.clew_item_nearby"
    found = rows(connection, _PLACE, (table,))
    if not found or rows(connection, _UNDER_WAY, (table,)):
        return
    (place, type_), there = found[0], dict(rows(connection, _INDEXES, (table,)))
    for model, dims in rows(connection, _LARGE.format(table=table), (INDEXED_VECTORS, _MOST_INDEXED_DIMS[type_])):
        name = _NAME.format(model=model, dims=dims)
        if there.pop(name, None) is not True:
            connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema}.{name}".encode())  # half made
            made = _MAKE.format(name=name, table=table, place=place, type=type_, model=model, dims=dims)
            connection.execute(made.encode())
    for name in there:
        connection.execute(f"DROP INDEX CONCURRENTLY {schema}.{name}".encode())  # of a model that has few or none now
