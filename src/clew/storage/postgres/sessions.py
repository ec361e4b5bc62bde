"""What is set up once on a session that no pooler hands on: where names are looked for, timeouts, prepared statements.

Behind a pooler, and on connections of the user's own pool, nothing is set up: others are served by the session next.
Then each transaction says what it needs, and nothing is prepared.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from clew.storage.postgres.migrations import quote

if TYPE_CHECKING:
    import psycopg

_FROZEN_S = 10  # a process that stops inside a transaction for longer loses it, so that it blocks nobody
_LOCKED_S = 30
_ONLY_ON_REQUEST = 2**31  # how often psycopg sees a statement before it prepares it unasked

# A pooler tells its clients another number than the server's own.
_SET_UP = (
    "SELECT set_config('search_path', %s, false), set_config('lock_timeout', %s, false), "
    "set_config('default_transaction_isolation', 'read committed', false), "
    "set_config('idle_in_transaction_session_timeout', %s, false) WHERE pg_backend_pid() = %s"
)

#: Of each session that was set up, the names of the functions whose calls are prepared.
_prepared: weakref.WeakKeyDictionary[psycopg.Connection, set[bytes]] = weakref.WeakKeyDictionary()


def set_up(connection: psycopg.Connection, schema: str) -> None:
    """Set a new session up, in one round trip, unless there is a pooler between here and the server.

    Args:
        connection: in autocommit mode.
        schema: see PostgresDatabase.
    """
    number = connection.info.backend_pid
    settings = (quote(schema), f"{_LOCKED_S}s", f"{_FROZEN_S}s")
    if connection.execute(_SET_UP, (*settings, number)).fetchone():
        connection.prepare_threshold = _ONLY_ON_REQUEST
        _prepared[connection] = set()


def prepared(connection: psycopg.Connection) -> set[bytes] | None:
    """Return the names of the functions whose calls are prepared, to be added to; None where nothing was set up."""
    return _prepared.get(connection)


def settings(schema: str) -> str:
    """Return the statements that say the same for one transaction, after the one that begins it."""
    return (
        f"; SET LOCAL search_path TO {quote(schema)}; SET LOCAL lock_timeout = '{_LOCKED_S}s'; "
        f"SET LOCAL idle_in_transaction_session_timeout = '{_FROZEN_S}s'"
    )
