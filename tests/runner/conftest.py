"""What stories of several callers start from."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """Makes calls on OS threads of their own."""
    with ThreadPoolExecutor(8) as pool:
        yield pool
