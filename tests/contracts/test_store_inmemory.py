"""The store's contract on the in-memory engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from clew.storage.inmemory.items import InMemoryStore
from contracts.store_contract import OpenStore, StoreContract


class TestInMemoryStore(StoreContract):
    @pytest.fixture
    def open_store(self) -> OpenStore:
        @contextmanager
        def opened(**settings: Any) -> Iterator[InMemoryStore]:
            yield InMemoryStore(**settings)

        return opened
