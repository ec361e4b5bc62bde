"""The store's contract where values are encrypted: it holds as it does without, filters and searches included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from clew import EncryptionKeys, InMemoryStore, SqliteStore
from contracts.store_contract import OpenStore, StoreContract


class TestEncryptedStore(StoreContract):
    kept_reason = "ConnectionError"  # what went wrong may quote the text

    @pytest.fixture(params=["memory", "sqlite"])
    def open_store(self, request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
        numbers, keys = count(), EncryptionKeys([EncryptionKeys.new_key(), EncryptionKeys.new_key()])

        @contextmanager
        def opened(**settings: Any) -> Iterator[InMemoryStore | SqliteStore]:
            if request.param == "memory":
                store: InMemoryStore | SqliteStore = InMemoryStore(**settings)
                store.encrypt(keys)
                yield store
                return
            with SqliteStore(tmp_path / f"{next(numbers)}.db", **settings) as store:
                store.encrypt(keys)
                yield store

        return opened
