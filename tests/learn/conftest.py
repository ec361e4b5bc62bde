"""What tests of learning start from: a database, and an agent to talk with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from clew import Database, Workflow
from clew.agents import create_agent


@pytest.fixture
def database() -> Iterator[Database]:
    with Database(":memory:") as database:
        yield database


@pytest.fixture
def agent(database: Database) -> Workflow[Any, Any]:
    return create_agent(lambda messages: {"role": "assistant", "content": "I see."}, database=database)
