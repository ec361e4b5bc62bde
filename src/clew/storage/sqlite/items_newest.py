"""The newest memories at or below a prefix, without a look at the others.

One namespace has them in an index. Below a wider prefix the newest of the whole store are looked at first; where too
few of these lie there, the newest of each of its namespaces. What is looked at does not grow with the number of items.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from clew.storage.sqlite.items import COLUMNS, LIVE
from clew.storage.sqlite.items_fields import Source
from clew.storage.sqlite.items_filter import compile_filter
from clew.store.filters import Filter

_LOOKED_AT, _LOOKED_AT_FOR_A_FILTER = 256, 4096

_IN_ONE = f"""
SELECT {COLUMNS.replace("n.path", "?")} FROM {{table}} {{join}}
WHERE {{where}} AND {{first}}.namespace = ? AND {LIVE} AND {{filter}}
ORDER BY {{first}}.updated_at DESC, {{first}}.id DESC LIMIT ?
"""
_HORIZON = "SELECT {first}.updated_at FROM {table} WHERE {where} ORDER BY {first}.updated_at DESC LIMIT 1 OFFSET ?"
_OF_ALL = f"""
SELECT {COLUMNS} FROM {{table}} {{join}} CROSS JOIN clew_namespaces n ON n.id = i.namespace
WHERE {{where}} AND {{first}}.updated_at >= coalesce(({_HORIZON}), 0)
AND n.path >= ? AND n.path < ? AND {LIVE} AND {{filter}}
ORDER BY {{first}}.updated_at DESC, {{first}}.id DESC LIMIT ?
"""
_OF_EACH = f"""
SELECT {COLUMNS} FROM clew_namespaces n CROSS JOIN clew_items i ON i.id IN (
    SELECT i.id FROM {{table}} {{join}} WHERE {{where}} AND {{first}}.namespace = n.id AND {LIVE} AND {{filter}}
    ORDER BY {{first}}.updated_at DESC, {{first}}.id DESC LIMIT ?)
WHERE n.path >= ? AND n.path < ? ORDER BY i.updated_at DESC, i.id DESC LIMIT ?
"""


class Newest:
    """The newest items below a prefix that may meet a condition.

    Args:
        paths: of the prefix, as a range.
        now_us: what has expired by then is not seen.
        source: where to look for those that meet it.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        paths: tuple[bytes, bytes],
        now_us: int,
        condition: Filter | None,
        source: Source,
    ) -> None:
        self._connection = connection
        self._paths = paths
        self._now_us = now_us
        self._filter, self._operands = compile_filter(condition)
        self._source = source
        reads_all = condition is not None and not source.join
        self._looks_at = _LOOKED_AT_FOR_A_FILTER if reads_all else _LOOKED_AT

    def rows(self, most: int) -> Iterator[tuple[Any, ...]]:
        """Give rows of COLUMNS, newest first; `most` is how many are likely to be taken."""
        spaces = self._connection.execute(
            "SELECT path, id FROM clew_namespaces WHERE path >= ? AND path < ? LIMIT 2", self._paths
        ).fetchall()
        given = 0
        while spaces:
            found = self._in_one(spaces[0], most) if len(spaces) == 1 else self._in_many(most)
            yield from found[given:]
            if len(found) < most:
                return
            given, most = most, 4 * most

    def _in_one(self, space: tuple[bytes, int], most: int) -> list[tuple[Any, ...]]:
        path, number = space
        return self._run(_IN_ONE, path, *self._source.values, number, self._now_us, *self._operands, most)

    def _in_many(self, most: int) -> list[tuple[Any, ...]]:
        s, meets = self._source, (self._now_us, *self._operands)
        horizon = (*s.values, max(self._looks_at, 2 * most))
        found = self._run(_OF_ALL, *s.values, *horizon, *self._paths, *meets, most)
        if len(found) == most or not self._run(_HORIZON, *horizon):
            return found
        return self._run(_OF_EACH, *s.values, *meets, most, *self._paths, most)

    def _run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        s = self._source
        return self._connection.execute(_filled(sql, s.first, s.join, s.where, self._filter), values).fetchall()


@lru_cache(maxsize=256)
def _filled(sql: str, first: tuple[str, str], join: str, where: str, filter: str) -> str:
    return sql.format(table=first[0], first=first[1], join=join, where=where, filter=filter)
