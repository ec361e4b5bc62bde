"""What an engine can do with items inside a transaction: the contract between `transactional` and each engine.

Old versions: whatever ends a value (a write, `delete_namespace`, `sweep`) keeps it as a Version, in the same
transaction, if `keeps` is above 0. It ended at the moment of the write, but at least a microsecond after it began; one
that had expired before ended when it expired, and what follows is a new item. Versions of a key are numbered through: a
put after a deletion takes the number after the highest that is kept, else 1. When version n ends, those up to
n - keeps go; in their place stays one without a value, numbered 0, that begins at 0 and ends when the last of them did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol, TypeVar

from msgspec import Struct, field

from clew.store.history import Moment, Version
from clew.store.listing import PreparedListing
from clew.store.moving import Mover
from clew.store.operations import Namespace
from clew.store.outbox import Indexed, IndexStatus, Reindexed, Waiting, Worked, Written
from clew.store.planning import PreparedGet, PreparedSearch, PreparedWrite
from clew.store.search import Found, Stored

State = TypeVar("State", contravariant=True)
How = Literal["glance", "read", "write", "look_ahead"]  # a glance is one statement, which sees one state by itself
Place = tuple[Namespace, str]


class Reading(Struct, kw_only=True):
    """The circumstances of reads in one transaction.

    Args:
        now: what has expired by then is not seen.
        committed: everything seen is committed, so caches may be filled.
        ending: items that were read with refresh and have a ttl.
    """

    now: datetime
    committed: bool
    ending: list[Place] = field(default_factory=list)


class Erased(NamedTuple):
    """How much was removed for good."""

    items: int
    versions: int
    vectors: int


class Keeper(Mover[State], Protocol[State]):
    """What an engine can do inside a transaction on its state."""

    def get(self, state: State, read: PreparedGet, reading: Reading) -> Stored | None:
        """Give one item that has not expired."""
        ...

    def search(self, state: State, read: PreparedSearch, reading: Reading) -> list[Found]:
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

    def delete_namespace(self, state: State, prefix: Namespace, now: datetime, keeps: int) -> int:
        """Delete everything at or below the prefix and give the number of items, expired ones included."""
        ...

    def sweep(self, state: State, now: datetime, keeps: int) -> int:
        """Delete what has expired and give its number."""
        ...

    def versions(
        self, state: State, prefix: Namespace, key: str | None = None, moment: Moment | None = None
    ) -> Iterable[Version]:
        """Give the versions of items at or below the prefix, or of one key in it, in any order.

        The current ones are among them, expired ones included. With a moment at least: those that were there then, the
        current ones that were created by then, and those that the moment's run wrote or ended.
        """
        ...

    def forget(self, state: State, before: datetime) -> None:
        """Remove versions that ended by then, those without a value included."""
        ...

    def erase(self, state: State, prefix: Namespace) -> Erased:
        """Remove everything at or below the prefix for good: items, versions, what is indexed and what waits."""
        ...

    def made_at(self, state: State, checkpoint_id: str) -> datetime | None:
        """Say when a checkpoint was made that is kept in the same database; None for one that is not."""
        ...

    def waiting(self, state: State, limit: int, model: str, dims: int | None, now: datetime) -> list[Waiting]:
        """Give items whose vectors are to be made now, oldest first.

        Not those that have vectors of this model and length: they wait for those of another embedder.
        """
        ...

    def written(self, state: State, writes: Sequence[PreparedWrite]) -> list[Written | None]:
        """Give the item of each write that has been applied and waits for its vectors; None: it was changed since."""
        ...

    def set_vectors(self, state: State, worked: Sequence[Worked], now: datetime) -> None:
        """Keep vectors, or the next failure, of items that have not changed since they were given as waiting.

        What needs no vectors waits no more.
        """
        ...

    def index_status(self, state: State, model: str, dims: int | None) -> IndexStatus:
        """Say how many items are indexed, and what waits and why."""
        ...

    def indexed(self, state: State, after: int, limit: int) -> list[Indexed]:
        """Give items by id, above `after`, with what is indexed of them."""
        ...

    def reindex(self, state: State, anew: Sequence[Reindexed], now: datetime) -> None:
        """Index items anew that have not changed since they were given as indexed."""
        ...

    def other_models(self, state: State, model: str, dims: int | None) -> list[str]:
        """Give the names of embedders, other than that of this model and length, whose vectors may be kept."""
        ...

    def forget_models(self, state: State) -> None:
        """Forget the embedders of whom no vector is kept."""
        ...
