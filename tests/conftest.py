"""What many tests start from: savers and stores on every engine, and workflows in every pair of colours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from clew import BaseStore, Checkpointer, InMemorySaver, InMemoryStore, SqliteSaver, SqliteStore
from support.colours import COLOURS, Colour
from support.postgres import fresh_schema, server

ENGINES = ("memory", "sqlite")


@pytest.fixture(params=ENGINES)
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Checkpointer]:
    """A checkpointer, on every engine."""
    if request.param == "memory":
        yield InMemorySaver()
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
