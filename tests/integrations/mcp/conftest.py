"""What tests of MCP start from: connections to a server made with the official package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clew.integrations.mcp import Connection
from support.mcp_serving import OVER_STDIO


@pytest.fixture(scope="module")
def server() -> Iterator[Connection]:
    """A connection over stdio to one process, for tests that leave it alive."""
    with Connection(OVER_STDIO) as connection:
        yield connection


@pytest.fixture
def stdio() -> Iterator[Callable[..., Connection]]:
    """Connects over stdio to a process of the test's own."""
    opened: list[Connection] = []

    def connect(**options: Any) -> Connection:
        opened.append(Connection(OVER_STDIO, **options))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()
