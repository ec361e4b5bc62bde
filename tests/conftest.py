"""What many tests start from: savers and stores on every engine, and workflows in every pair of colours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg_pool import ConnectionPool

from clew import BaseStore, Checkpointer, InMemorySaver, InMemoryStore, PostgresSaver, SqliteSaver, SqliteStore
from support.colours import COLOURS, Colour
from support.postgres import fresh_schema, server

ENGINES = ("memory", "sqlite")


@pytest.fixture(params=[*ENGINES, "postgres"])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Checkpointer]:
    """A checkpointer, on every engine."""
    if request.param == "memory":
        yield InMemorySaver()
        return
    if request.param == "postgres":
        where, schema = request.getfixturevalue("postgres_pool"), request.getfixturevalue("postgres_schema")
        with contextlib.closing(PostgresSaver(where, schema=schema)) as kept_there:
            yield kept_there
        return
    with contextlib.closing(SqliteSaver(tmp_path / "threads.db")) as kept:
        yield kept


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseStore]:
    """A store, on every engine."""
    if request.param == "memory":
        yield InMemoryStore()
        return
    with contextlib.closing(SqliteStore(tmp_path / "memories.db")) as kept:
        yield kept


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server, started when a test first needs it and stopped at the end."""
    with server() as address:
        yield address


@pytest.fixture(scope="session")
def postgres_pool(postgres: str) -> Iterator[ConnectionPool]:
    """A pool over that server: to connect for each test would take longer than most tests."""
    with ConnectionPool(postgres, min_size=0, max_size=16) as pool:
        yield pool


@pytest.fixture
def postgres_schema(postgres: str) -> Iterator[str]:
    """The name of a schema for one test, dropped after it."""
    with fresh_schema(postgres) as name:
        yield name


@pytest.fixture(params=COLOURS, ids=str)
def colour(request: pytest.FixtureRequest) -> Colour:
    """Each pair of blocking or async workflow and blocking or async tasks."""
    pair: Colour = request.param
    return pair
