"""The store's contract on PostgreSQL, and what only a server can promise."""

from __future__ import annotations

from typing import Any

import pytest

from clew.storage.postgres.database import PostgresDatabase
from clew.storage.postgres.items_store import PostgresStore
from contracts.store_contract import OpenStore, StoreContract
from support.postgres import empty


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def open_store(self, postgres_database: PostgresDatabase) -> OpenStore:
        def opened(**settings: Any) -> PostgresStore:
            empty(postgres_database)
            return PostgresStore(postgres_database, **settings)

        return opened
