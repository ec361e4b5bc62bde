"""Fixtures for pytest. Installed with clew, and loaded by pytest itself: what a fixture needs is imported when used."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from clew import Database
    from clew.testing import CrashingCheckpointer, FakeClock
    from clew.testing.models import RecordedModel


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add clew's options."""
    group = parser.getgroup("clew", "workflows with clew")
    group.addoption(
        "--clew-database",
        default="memory",
        metavar="WHERE",
        help="what clew_database gives: memory (the default), sqlite, or the address of a PostgreSQL database, "
        "postgresql://..., in which each test has a schema of its own",
    )
    group.addoption(
        "--clew-record",
        action="store_true",
        help="let tests with clew_model ask the real models, and record what they answer",
    )


@pytest.fixture
def clew_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Give an empty database: where --clew-database says, or the indirect parameter of the test."""
    where = str(getattr(request, "param", request.config.getoption("--clew-database")))
    with _opened(where, tmp_path) as database:
        yield database


@pytest.fixture
def clew_clock() -> Iterator[FakeClock]:
    """Let the test move the time; see clew.testing.fake_clock."""
    from clew.testing import fake_clock

    with fake_clock() as clock:
        yield clock


@pytest.fixture
def clew_crash_at(clew_database: Database) -> Callable[..., CrashingCheckpointer]:
    """Give a function from the number of an append, and "before" or "after", to a checkpointer that crashes there.

    It keeps what comes before in `clew_database`, where a later run goes on with it.
    """
    from clew.testing import CrashingCheckpointer, CrashPoint

    def crashing(number: int, moment: Literal["before", "after"] = "after") -> CrashingCheckpointer:
        return CrashingCheckpointer(clew_database.checkpointer, CrashPoint(number, moment))

    return crashing


@pytest.fixture
def clew_crash_everywhere(clew_database: Database) -> Callable[..., Any]:
    """Give clew.testing.crash_everywhere, with `clew_database` as its database."""
    from clew.testing import crash_everywhere

    return partial(crash_everywhere, database=clew_database)


@pytest.fixture
def clew_model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordedModel]:
    """Give recorded models: clients of OpenAI and Anthropic that the test makes are sent to them.

    The answers are in the folder `recordings` beside the test, in a file of its name.
    """
    from clew.testing.models import recorded_model

    name = re.sub(r"[^\w.-]+", "_", f"{request.path.stem}.{request.node.name}")
    path = request.path.parent / "recordings" / f"{name}.json"
    with recorded_model(path, record=bool(request.config.getoption("--clew-record"))) as model:
        for variable, value in model.environment().items():
            monkeypatch.setenv(variable, value)
        yield model


@contextmanager
def _opened(where: str, folder: Path) -> Generator[Database]:
    from clew import Database

    if where.startswith(("postgresql://", "postgres://")):
        with _postgres(where) as database:
            yield database
        return
    addresses = {"memory": ":memory:", "sqlite": f"sqlite:///{folder / 'clew.db'}"}
    if where not in addresses:
        raise pytest.UsageError(f"--clew-database takes memory, sqlite or postgresql://..., not {where!r}")
    with closing(Database(addresses[where])) as database:
        yield database


@contextmanager
def _postgres(address: str) -> Generator[Database]:
    import uuid

    import psycopg
    from psycopg import sql

    from clew import Database

    schema = f"clew_test_{uuid.uuid4().hex[:12]}"
    try:
        with closing(Database(address, schema=schema)) as database:
            yield database
    finally:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("SET client_min_messages = warning")
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
