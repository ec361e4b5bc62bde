"""The newest memories at or below a prefix, without a look at the others.

One namespace has them in an index. Below a wider prefix the newest of the whole store are looked at first; where too
few of these lie there, the newest of each of its namespaces. What is looked at does not grow with the number of items.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from clew.storage.postgres.items import BELOW, COLUMNS, JOINED, LIVE
from clew.storage.postgres.items_filter import compile_filter
from clew.storage.postgres.statements import rows
from clew.store.filters import Filter

if TYPE_CHECKING:
    import psycopg

_LOOKED_AT, _LOOKED_AT_FOR_A_FILTER = 256, 4096
_NEWEST = "ORDER BY i.updated_at DESC, i.id DESC LIMIT %(most)s"
_SPACES = f"SELECT id FROM clew_namespaces n WHERE {BELOW} LIMIT 2"
_IN_ONE = f"SELECT {COLUMNS} FROM {JOINED} WHERE i.namespace = %(space)s AND {LIVE} AND {{filter}} {_NEWEST}"
_HORIZON = "SELECT updated_at FROM clew_items ORDER BY updated_at DESC LIMIT 1 OFFSET %(look)s"
_OF_ALL = (
    f"SELECT {COLUMNS} FROM {JOINED} WHERE i.updated_at >= %(from)s AND {BELOW} AND {LIVE} AND {{filter}} {_NEWEST}"
)
_OF_EACH = f"""
SELECT {COLUMNS} FROM clew_namespaces n CROSS JOIN LATERAL (
    SELECT * FROM clew_items i WHERE i.namespace = n.id AND {LIVE} AND {{filter}} {_NEWEST}) i
WHERE {BELOW} {_NEWEST}
"""


class Newest:
    """The newest items below a prefix that may meet a condition.

    Args:
        paths: of the prefix, as a range.
        now_us: what has expired by then is not seen.
    """

    def __init__(
        self, connection: psycopg.Connection, paths: tuple[bytes, bytes], now_us: int, condition: Filter | None
    ) -> None:
        self._connection = connection
        self._filter, operands, self.is_exact = compile_filter(condition)
        self._values = {"start": paths[0], "end": paths[1], "now": now_us, **operands}
        self._looks_at = _LOOKED_AT if condition is None else _LOOKED_AT_FOR_A_FILTER

    def rows(self, most: int) -> Iterator[tuple[Any, ...]]:
        """Give rows of COLUMNS, newest first; `most` is how many are likely to be taken."""
        spaces = rows(self._connection, _SPACES, self._values)
        given = 0
        while spaces:
            found = self._run(_IN_ONE, most=most, space=spaces[0][0]) if len(spaces) == 1 else self._in_many(most)
            yield from found[given:]
            if len(found) < most:
                return
            given, most = most, 4 * most

    def _in_many(self, most: int) -> list[tuple[Any, ...]]:
        horizon = self._run(_HORIZON, look=max(self._looks_at, 2 * most))
        found = self._run(_OF_ALL, most=most, **{"from": horizon[0][0] if horizon else 0})
        return found if len(found) == most or not horizon else self._run(_OF_EACH, most=most)

    def _run(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        return rows(self._connection, sql.format(filter=self._filter), self._values | values)
