"""`clew migrate`, from a terminal."""

from __future__ import annotations

import psycopg
from typer.testing import CliRunner, Result

from clew.cli.app import app


def migrate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["migrate", *arguments], env={"COLUMNS": "200"})


def test_tables_are_made_once(postgres: str, postgres_schema: str) -> None:
    first, second = (migrate(postgres, "--schema", postgres_schema) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "Made the tables" in first.output
    assert "already" in second.output


def test_the_sql_is_printed_and_does_what_migrate_does(postgres: str, postgres_schema: str) -> None:
    printed = migrate(postgres, "--schema", postgres_schema, "--sql")
    assert printed.exit_code == 0
    assert "Made the tables" in migrate(postgres, "--schema", postgres_schema).output  # --sql has changed nothing
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {postgres_schema} CASCADE".encode())
        connection.execute(printed.stdout.encode())
    assert migrate(postgres, "--schema", postgres_schema, "--sql").stdout == "-- There is nothing to do.\n"


def test_other_databases_are_refused() -> None:
    refused = migrate("sqlite:///app.db")
    assert refused.exit_code == 2
    assert "others make them when they are opened" in refused.output
