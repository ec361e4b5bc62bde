"""What an engine can do with items inside a transaction: the contract between `transactional` and each engine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeVar

from msgspec import Struct, field

from clew.store.operations import Item, Namespace, SearchItem
from clew.store.outbox import Indexed, IndexStatus, Reindexed, Waiting, Worked
from clew.store.planning import PreparedGet, PreparedListing, PreparedSearch, PreparedWrite

State = TypeVar("State", contravariant=True)
How = Literal["read", "write", "look_ahead"]
Place = tuple[Namespace, str]


class Reading(Struct, kw_only=True):
    """The circumstances of reads in one transaction.

    Args:
        now: what has expired by then is not seen.
        committed: everything seen is committed, so caches may be filled.
        ending: items that were read with refresh and have a ttl; the engine adds to it.
    """

    now: datetime
    committed: bool
    ending: list[Place] = field(default_factory=list)


class Keeper(Protocol[State]):
    """What an engine can do inside a transaction on its state."""

    def get(self, state: State, read: PreparedGet, reading: Reading) -> Item | None:
        """Give one item that has not expired."""
        ...

    def search(self, state: State, read: PreparedSearch, reading: Reading) -> list[SearchItem]:
        """Give one page of items that have not expired."""
        ...

    def list_namespaces(self, state: State, read: PreparedListing, now: datetime) -> list[Namespace]:
        """Give one page of the namespaces that hold items."""
        ...

    def apply(self, state: State, writes: Sequence[PreparedWrite], now: datetime) -> None:
        """Apply writes in order; Conflict when an `if_version` does not fit."""
        ...

    def refresh(self, state: State, places: Sequence[Place], now: datetime) -> None:
        """Give items their whole ttl again, where they have one and have not expired."""
        ...

    def delete_namespace(self, state: State, prefix: Namespace) -> int:
        """Delete everything at or below the prefix and give the number of items."""
        ...

    def sweep(self, state: State, now: datetime) -> int:
        """Delete what has expired and give its number."""
        ...

    def waiting(self, state: State, limit: int, model: str, now: datetime) -> list[Waiting]:
        """Give items whose vectors are to be made now, oldest first."""
        ...

    def set_vectors(self, state: State, worked: Sequence[Worked], now: datetime) -> None:
        """Keep vectors, or the next failure, of items that have not changed since they were given as waiting."""
        ...

    def index_status(self, state: State, model: str) -> IndexStatus:
        """Say how many items are indexed, and what waits and why."""
        ...

    def indexed(self, state: State, after: int, limit: int) -> list[Indexed]:
        """Give items by id, above `after`, with what is indexed of them."""
        ...

    def reindex(self, state: State, anew: Sequence[Reindexed], now: datetime) -> None:
        """Index items anew that have not changed since they were given as indexed."""
        ...

    def other_models(self, state: State, model: str) -> list[str]:
        """Give the names of other embedders whose vectors may be kept."""
        ...

    def forget_models(self, state: State) -> None:
        """Forget the embedders of whom no vector is kept."""
        ...
