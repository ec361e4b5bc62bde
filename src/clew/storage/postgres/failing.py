"""PostgreSQL's errors as clew's, in this one place, and which of them mean that the connection is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.errors import ClewError, Conflict, SchemaMismatch, StorageError, Unavailable

if TYPE_CHECKING:
    import psycopg

# What clew's own functions in the database raise; see schema/.
FENCED_OFF = "CLW01"
CHANGED = "CLW02"
BUSY = "CLW03"
OTHER_VERSION = "CLW04"
LIMIT = "CLW05"
EXISTS = "23505"  # unique_violation
NOT_PREPARED = "26000"  # invalid_sql_statement_name


def translated(error: psycopg.Error, shown: str) -> ClewError:
    """Return the error of clew that says the same.

    Args:
        error: as psycopg raised it.
        shown: the database, for people.
    """
    text, state = " ".join(str(error).split()), error.sqlstate or ""
    match state[:2]:
        case "08" | "57" | "53" | "25" | "":
            return Unavailable(f"the database {shown} cannot be used now ({text})")
        case "28" | "3D":
            return Unavailable(f"the database {shown} refuses the connection ({text}); check user, password and name")
        case "40":
            return Conflict(f"the database {shown} took this write back for another one ({text}); try again")
        case "42" if state == "42501":
            return Unavailable(f"the database {shown} does not allow it ({text}); grant the right or use another user")
        case "42" | "3F":
            return SchemaMismatch(
                f"the tables in {shown} are not those that this clew makes ({text}); run: clew migrate, or use "
                "another schema"
            )
        case "55" if state == "55P03":
            return Unavailable(f"somebody has kept rows of {shown} locked for too long ({text}); try again")
        case _:
            return StorageError(f"{shown}: {text}")


def is_gone(connection: psycopg.Connection) -> bool:
    """Say whether a connection can be used no more."""
    return connection.closed or connection.broken


def was_taken_back(error: psycopg.Error) -> bool:
    """Say whether the server took the transaction back of itself, so that it may be tried again at once."""
    return error.sqlstate in _TAKEN_BACK


# For another one's sake (serialization_failure, deadlock_detected), or because this process was frozen inside it
# (idle_in_transaction_session_timeout).
_TAKEN_BACK = ("40001", "40P01", "25P03")
