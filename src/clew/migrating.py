"""Making the tables of a database, or showing the SQL that would, for those who let nobody but a DBA change tables."""

from __future__ import annotations

from contextlib import closing

from clew.errors import InvalidOption
from clew.storage.postgres.database import PostgresDatabase


def is_postgres(url: str) -> bool:
    """Say whether an address is one of PostgreSQL's."""
    return url.partition("://")[0] in ("postgresql", "postgres")


def migrate(url: str, schema: str = "public") -> None:
    """Make the tables of a PostgreSQL database, or bring them to the version of this clew.

    Args:
        url: "postgresql://…".
        schema: what holds the tables.

    Raises:
        InvalidOption: another kind of database; those make their tables when they are opened.
        Unavailable: the database does not do it. Nothing was changed.
        SchemaMismatch: a newer clew made the tables.
    """
    with closing(_opened(url, schema)) as database:
        database.setup()


def pending_migrations(url: str, schema: str = "public") -> list[str]:
    """Return the SQL that `migrate` would run, in one transaction; nothing where there is nothing to do.

    Raises: see `migrate`.
    """
    with closing(_opened(url, schema)) as database:
        return database.pending()


def _opened(url: str, schema: str) -> PostgresDatabase:
    if not is_postgres(url):
        raise InvalidOption("tables are made by hand on postgresql://… alone; others make them when they are opened")
    return PostgresDatabase(url, schema=schema)
