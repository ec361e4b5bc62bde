"""How many runs of a workflow may be under way, and begin: the call that checks it, and what its refusal says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from clew.engine.pacing import Limit, Use
from clew.errors import LimitReached
from clew.storage.base import Begin, LoadUse
from clew.storage.postgres.calls import BIG, REAL, TEXT, Function, Rows
from clew.storage.postgres.statements import rows

if TYPE_CHECKING:
    import psycopg

# Before all others: who holds no thread yet can wait for a workflow's row without holding up anybody.
_LIMIT = Function("clew_limit", (TEXT, TEXT, BIG, BIG, REAL, REAL, TEXT), place=-1)


def check(operation: Begin) -> dict[Function, Rows]:
    """Return the call that lets a run in, as part of the one that begins it; none where it has no limit."""
    limit = operation.limit
    if limit is None:
        return {}
    row = (
        operation.thread.workflow, operation.thread.thread_id, limit.concurrency, limit.rate, limit.per_s,
        operation.now_s, msgspec.json.encode(list(operation.evicts)).decode(),
    )  # fmt: skip
    return {_LIMIT: [row]}


def refusal(operation: Begin, error: psycopg.Error) -> LimitReached:
    """Return the error of a run that was not let in."""
    assert operation.limit is not None
    until = error.diag.message_detail
    return operation.limit.reached(operation.thread.workflow, float(until) if until else None)


# The first of the last `rate` beginnings: when that counts no more, one more may begin.
_USE = """
SELECT
    ARRAY(
        SELECT owner FROM (SELECT * FROM clew_threads WHERE owner IS NOT NULL OFFSET 0) AS held
        WHERE workflow = %(workflow)s AND until_s > %(now_s)s
    ),
    (SELECT count(*) FROM clew_begun WHERE workflow = %(workflow)s AND begun_s > %(since_s)s),
    (SELECT begun_s FROM clew_begun WHERE workflow = %(workflow)s AND begun_s > %(since_s)s AND %(rate)s::bigint > 0
        ORDER BY begun_s DESC LIMIT 1 OFFSET greatest(%(rate)s::bigint - 1, 0))
"""


def load_use(connection: psycopg.Connection, operation: LoadUse) -> dict[str, Use]:
    return {name: _use(connection, name, limit, operation.now_s) for name, limit in operation.limits.items()}


def _use(connection: psycopg.Connection, workflow: str, limit: Limit, now_s: float) -> Use:
    asked = {"workflow": workflow, "now_s": now_s, "since_s": now_s - limit.per_s, "rate": limit.rate}
    [(owners, begun, first_s)] = rows(connection, _USE, asked)
    return Use(owners=owners, begun=begun, until_s=None if first_s is None else first_s + limit.per_s)
