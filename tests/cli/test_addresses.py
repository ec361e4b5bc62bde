"""Which database a command works on: what is no database of clew's is left as it is, and schemas have addresses."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from clew import Database, entrypoint, interrupt
from clew.cli.app import app
from clew.errors import InvalidOption
from clew.storage.postgres.database import PostgresDatabase

CODE = """
import os
from clew import Database, entrypoint, interrupt

@entrypoint(database=Database(os.environ["ADDRESS"], schema=os.environ["SCHEMA"]))
def asking(given):
    return [given, interrupt("go on?")]
"""
LOOKING = [
    ("threads", "{}"), ("runs", "{}", "1"), ("show", "{}", "1"), ("export", "{}"), ("prune", "{}", "--keep-last", "1"),
    ("erase", "{}", "ann", "--yes"), ("reindex", "--db", "{}"), ("memory", "ls", "--db", "{}"),
    ("memory", "search", "tea", "--db", "{}"), ("memory", "get", "u", "k", "--db", "{}"),
    ("memory", "history", "u", "k", "--db", "{}"), ("memory", "rm", "u", "k", "--db", "{}"),
    ("memory", "stats", "--db", "{}"),
]  # fmt: skip


def clew(*arguments: str, at: str = "") -> Result:
    return CliRunner().invoke(app, [argument.replace("{}", at) for argument in arguments], env={"COLUMNS": "200"})


def printed(*arguments: str, at: str) -> Any:
    done = clew(*arguments, "--json", at=at)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def tables(address: str, schema: str) -> int:
    with psycopg.connect(address) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = %s", (schema,)).fetchone()
    assert found is not None
    return int(found[0])


def within(address: str, schema: str) -> str:
    return f"{address}{'&' if '?' in address else '?'}schema={schema}"


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_a_file_of_another_program_is_left_as_it_is(tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE theirs (n INTEGER)")
        connection.commit()
    before = file.read_bytes()
    refused = clew(*command, at=str(file))
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "holds nothing of clew's" in refused.stderr
    assert (file.read_bytes(), list(tmp_path.iterdir())) == (before, [file])


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_a_schema_without_tables_gets_none(postgres: str, postgres_schema: str, command: tuple[str, ...]) -> None:
    refused = clew(*command, at=within(postgres, postgres_schema))
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "?schema=NAME" in refused.stderr
    assert tables(postgres, postgres_schema) == 0


def test_a_schema_is_named_in_the_address(
    postgres: str, postgres_schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Database(postgres, schema=postgres_schema) as database:

        @entrypoint(database=database)
        def asking(given: int) -> list[Any]:
            return [given, interrupt("go on?")]

        asking.invoke(1, {"configurable": {"thread_id": "t", "user_id": "ann"}})
        database.store.put(("memories", "ann"), "tea", {"text": "green"})
    (tmp_path / "schemed.py").write_text(CODE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADDRESS", postgres)
    monkeypatch.setenv("SCHEMA", postgres_schema)
    at = within(postgres, postgres_schema)
    assert [thread["thread_id"] for thread in printed("threads", "{}", at=at)] == ["t"]
    assert printed("resume", "{}", "schemed.py:asking", "t", "--answer", "2", at=at)["value"] == [1, 2]
    assert [item["key"] for item in printed("memory", "ls", "--db", "{}", at=at)] == ["tea"]
    assert printed("memory", "stats", "--db", "{}", at=at)["database"].endswith(f"?schema={postgres_schema}")
    erased = printed("erase", "{}", "ann", "--yes", at=at)
    assert (erased["threads"], erased["items"]) == (1, 1)
    assert "already" in clew("migrate", "{}", at=at).stderr


def test_an_address_with_a_schema_names_the_same_place(postgres: str) -> None:
    named, given = PostgresDatabase(within(postgres, "some%20where")), PostgresDatabase(postgres, schema="some where")
    assert (named.schema, named.identity) == ("some where", given.identity)
    with pytest.raises(InvalidOption, match="names schema 'one', and schema='two' is given"):
        PostgresDatabase("postgresql://host/db?connect_timeout=3&schema=one", schema="two")
    with pytest.raises(InvalidOption, match="1 to 63 bytes"):
        PostgresDatabase("postgresql://host/db?schema=")
