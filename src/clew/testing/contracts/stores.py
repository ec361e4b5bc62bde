"""What every store must do, on every engine and in both colours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clew.testing.contracts.given import Caller, Clock, Letters, OpenStore
from clew.testing.contracts.store_batches import Batches
from clew.testing.contracts.store_history import History
from clew.testing.contracts.store_index import Index
from clew.testing.contracts.store_items import Items
from clew.testing.contracts.store_outbox import Outbox


class StoreContract(Items, Batches, Index, Outbox, History):
    """The promises of a store.

    Derive your tests from it and give a fixture `open_store`: a function that makes an empty store, as a context
    manager, from `index`, `ttl`, `search_mode`, `history` and `clock`, as SqliteStore takes them.
    """

    #: What is kept of "ConnectionError: no network".
    kept_reason = "ConnectionError: no network"

    open_store: OpenStore

    @pytest.fixture(params=["sync", "async"])
    def colour(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def store(self, open_store: OpenStore, colour: str, clock: Clock) -> Iterator[Caller]:
        with open_store(clock=clock) as store:
            yield Caller(store, colour)

    @pytest.fixture
    def embedder(self) -> Letters:
        return Letters()

    @pytest.fixture
    def semantic(self, open_store: OpenStore, colour: str, embedder: Letters, clock: Clock) -> Iterator[Caller]:
        index = {"dims": 26, "embed": embedder, "fields": ["text"]}
        with open_store(index=index, clock=clock) as store:
            yield Caller(store, colour)

    @pytest.fixture
    def hybrid(self, open_store: OpenStore, colour: str, embedder: Letters, clock: Clock) -> Iterator[Caller]:
        with open_store(index={"dims": 26, "embed": embedder}, search_mode="hybrid", clock=clock) as store:
            yield Caller(store, colour)
