"""`clew migrate`: makes the tables of a PostgreSQL database, or prints the SQL that would."""

from __future__ import annotations

from typing import Annotated

import typer

from clew.cli.screen import Screen, errors_shown
from clew.migrating import migrate as migrate_database
from clew.migrating import pending_migrations


def migrate(
    url: Annotated[str, typer.Argument(metavar="DATABASE", help="postgresql://user@host:5432/name")],
    schema: Annotated[str, typer.Option(help="What holds the tables, if DATABASE does not say it.")] = "public",
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL and change nothing.")] = False,
) -> None:
    """Make the tables of a PostgreSQL database, or bring them to the version of this clew.

    Programs do so by themselves when they first use a database, if they are allowed to. Where somebody else changes
    tables, print the SQL with --sql and have them run it.
    """
    screen = Screen()
    with errors_shown(screen):
        scripts = pending_migrations(url, schema)
        if sql:
            typer.echo("\n".join(["BEGIN;", *scripts, "COMMIT;"]) if scripts else "-- There is nothing to do.")
        elif scripts:
            migrate_database(url, schema)
            screen.note("Made the tables.")
        else:
            screen.note("The tables are those of this clew already.")
