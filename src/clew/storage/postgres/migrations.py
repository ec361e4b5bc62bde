"""Makes the tables and functions, and brings them to the version of this code: once, whoever starts together."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from clew.errors import SchemaMismatch
from clew.storage.postgres import wakeups
from clew.storage.postgres.statements import rows

if TYPE_CHECKING:
    import psycopg

_FROZEN = "30s"  # a process that stops while it migrates for longer lets the next one do it


def migrate(connection: psycopg.Connection, schema: str, shown: str) -> None:
    """Run the scripts that were not run yet, in one transaction.

    Args:
        connection: in autocommit mode.
        schema: that is to hold everything; made if it is missing.
        shown: the database, for people.

    Raises:
        SchemaMismatch: a newer clew made the tables, the schema holds another program's procrastinate, or the database
            does not keep text as UTF-8.
        MissingDependency: procrastinate is not installed.
        psycopg.Error: the database did not do it. Nothing was changed.
    """
    at, wakeups_at = version(connection, schema, shown)
    if at == len(_scripts()) and not wakeups.scripts(wakeups_at):
        return
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        # For all who start together wait for whoever came first. Like the lock, it goes with the transaction, so that a
        # pooler may hand the session on.
        connection.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, true)", (_FROZEN,))
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (lock_of(schema),))
        for statement in pending(connection, schema, shown):
            connection.execute(statement.encode())


def pending(connection: psycopg.Connection, schema: str, shown: str) -> list[str]:
    """Return the SQL that brings a schema from where it is to the version of this code: nothing if it is there.

    Raises:
        SchemaMismatch, MissingDependency: see migrate.
    """
    at, wakeups_at = version(connection, schema, shown)
    scripts, for_wakeups = _scripts(), wakeups.scripts(wakeups_at)
    if at == len(scripts) and not for_wakeups:
        return []
    quoted = quote(schema)
    there = _found(connection, schema)
    if wakeups_at is None and there and "procrastinate_jobs" in there:
        # Its workers would take our wake-ups.
        raise SchemaMismatch(
            f"schema {schema!r} of {shown} holds the procrastinate tables of another program; give clew a schema of "
            "its own: schema=..."
        )
    return [
        *([f"CREATE SCHEMA {quoted};"] if there is None else []),
        f"SET LOCAL search_path TO {quoted};",
        *scripts[at:],
        *for_wakeups,
        "CREATE TABLE IF NOT EXISTS clew_schema (version integer NOT NULL, wakeups text NOT NULL);",
        "DELETE FROM clew_schema;",
        f"INSERT INTO clew_schema VALUES ({len(scripts)}, '{wakeups.made_by() if for_wakeups else wakeups_at}');",
    ]


def version(connection: psycopg.Connection, schema: str, shown: str) -> tuple[int, str | None]:
    """Return how many scripts were run in a schema, and the newest of procrastinate's.

    Raises:
        SchemaMismatch: see migrate.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        raise SchemaMismatch(f"the database {shown} keeps text as {encoding}; clew needs one made with ENCODING 'UTF8'")
    if "clew_schema" not in (_found(connection, schema) or ()):
        return 0, None
    noted = rows(connection, f"SELECT version, wakeups FROM {quote(schema)}.clew_schema")
    at, wakeups_at = noted[0] if noted else (0, None)
    if at > len(_scripts()):
        raise SchemaMismatch(
            f"the tables in schema {schema!r} of {shown} are of version {at}, this clew knows up to "
            f"{len(_scripts())}: a newer clew made them; upgrade clew here"
        )
    return at, wakeups_at


def _found(connection: psycopg.Connection, schema: str) -> set[str] | None:
    """Return which of the tables that tell whose a schema is stand in it; None if there is no such schema.

    The catalog's own tables say so as of now. to_regclass and its like may tell, within a transaction, what the session
    looked up before it, and so miss what others made while this one waited for the lock.
    """
    found = rows(
        connection,
        "SELECT relname FROM pg_catalog.pg_namespace AS n LEFT JOIN pg_catalog.pg_class ON relnamespace = n.oid"
        " AND relname IN ('clew_schema', 'procrastinate_jobs') WHERE nspname = %s",
        (schema,),
    )
    return {name for (name,) in found if name} if found else None


def quote(name: str) -> str:
    """Return a name as SQL spells it."""
    return '"' + name.replace('"', '""') + '"'


def lock_of(schema: str) -> int:
    """Return the number of the lock under which a schema is migrated, the same for every process."""
    return int.from_bytes(hashlib.sha256(b"clew migrates " + schema.encode()).digest()[:8], "big", signed=True)


def _scripts() -> list[str]:
    folder = os.path.join(os.path.dirname(__file__), "schema")
    return [_text(os.path.join(folder, name)) for name in sorted(os.listdir(folder)) if name[0].isdigit()]


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
