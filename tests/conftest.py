"""What many tests start from: savers and stores on every engine, and workflows in every pair of colours."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from clew import (
    BaseStore,
    Checkpointer,
    InMemorySaver,
    InMemoryStore,
    PostgresSaver,
    PostgresStore,
    SqliteSaver,
    SqliteStore,
)
from clew.storage.postgres.database import PostgresDatabase
from support.colours import COLOURS, Colour
from support.postgres import empty, fresh_schema, last_words, server
from support.provider import Provider, providing

ENGINES = ("memory", "sqlite", "postgres")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show beside a failure what the servers said."""
    report = yield
    if report.failed and (said := last_words()):
        report.sections.append(("PostgreSQL's log", said))
    return report


@pytest.fixture(params=ENGINES)
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Checkpointer]:
    """A checkpointer, on every engine."""
    if request.param == "memory":
        yield InMemorySaver()
        return
    if request.param == "postgres":
        with contextlib.closing(PostgresSaver(request.getfixturevalue("postgres_database"))) as kept_there:
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
    if request.param == "postgres":
        with contextlib.closing(PostgresStore(request.getfixturevalue("postgres_database"))) as kept_there:
            yield kept_there
        return
    with contextlib.closing(SqliteStore(tmp_path / "memories.db")) as kept:
        yield kept


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server, started when a test first needs it and stopped at the end."""
    with server() as address:
        yield address


@pytest.fixture(scope="session")
def one_postgres_database(postgres: str) -> Iterator[PostgresDatabase]:
    """A schema with its tables: to make them for each test would take longer than most tests."""
    with fresh_schema(postgres) as schema, contextlib.closing(PostgresDatabase(postgres, schema=schema)) as database:
        yield database


@pytest.fixture
def postgres_database(one_postgres_database: PostgresDatabase) -> Iterator[PostgresDatabase]:
    """A database of the server for one test, empty."""
    yield one_postgres_database
    empty(one_postgres_database)


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


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that answers by script; the test fails where the script was not played to its end."""
    with providing() as provider:
        yield provider
    assert provider.is_finished, "the model was to be asked more often"


@pytest.fixture
def openai(provider: Provider) -> Iterator[Any]:
    """OpenAI's own client, sent to the provider."""
    from openai import OpenAI

    with OpenAI(api_key="none", base_url=f"{provider.address}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic(provider: Provider) -> Iterator[Any]:
    """Anthropic's own client, sent to the provider."""
    from anthropic import Anthropic

    with Anthropic(api_key="none", base_url=provider.address, max_retries=0) as client:
        yield client
