"""The tables of a database: whether it has them, making them, or the SQL that would, for a DBA to run."""

from __future__ import annotations

from contextlib import closing

from clew.errors import InvalidOption
from clew.storage.postgres.database import PostgresDatabase
from clew.storage.sqlite import migrations


def is_postgres(url: str) -> bool:
    """Say whether an address is one of PostgreSQL's."""
    return url.partition("://")[0] in ("postgresql", "postgres")


def has_tables(where: str) -> bool:
    """Say whether a database has tables of clew's; this makes and changes nothing.

    Args:
        where: "postgresql://…", or the path of a SQLite file that is there.

    Raises:
        InvalidOption: the address is none.
        Unavailable: the database cannot be read.
        SchemaMismatch: a newer clew made the tables, or the file is no database.
    """
    if not is_postgres(where):
        return migrations.has_tables(where)
    with closing(PostgresDatabase(where)) as database:
        return database.has_tables()


def migrate(url: str, schema: str = "public") -> None:
    """Make the tables of a PostgreSQL database, or bring them to the version of this clew.

    Args:
        url: "postgresql://…".
        schema: what holds the tables, where the address does not say it.

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
