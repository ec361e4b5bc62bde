"""Memories as a whole, for whoever moves or erases them: what an engine has to give, and how others take it in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from clew.store.embedding import text_hash
from clew.store.history import Version
from clew.store.indexable import indexable
from clew.store.operations import Namespace
from clew.store.planning import PreparedWrite, Vectors
from clew.store.settings import Settings
from clew.store.values import decode_value

State = TypeVar("State", contravariant=True)
ELSEWHERE = "it came from elsewhere"


class Current(Struct, frozen=True, kw_only=True):
    """An item with everything that is kept of it.

    Args:
        write: what was put; `words` and `marks` are left out.
        version: its number.
        created_us: when its key was first put, in microseconds since 1970.
        updated_us: when it was last put.
        expires_us: when it expires, or None.
    """

    write: PreparedWrite
    version: int
    created_us: int
    updated_us: int
    expires_us: int | None


class Memory(Struct, frozen=True, kw_only=True):
    """Everything that is kept under one key.

    Args:
        namespace, key: its place.
        order: the engine's, in which it gives memories.
        item: the current one, or None where only old versions are left.
        versions: those that have ended, oldest first.
    """

    namespace: Namespace
    key: str
    order: int = 0
    item: Current | None = None
    versions: Sequence[Version] = ()


class Mover(Protocol[State]):
    """What an engine can do with all of its memories, inside a transaction on its state."""

    def all_namespaces(self, state: State) -> list[Namespace]:
        """Give every namespace in which anything is kept, were it an expired item or an old version."""
        ...

    def forget_writers(self, state: State, thread_ids: Sequence[str]) -> None:
        """Forget which items and versions the runs of some threads wrote or ended."""
        ...

    def memories(self, state: State, after: int, limit: int, *, past: bool) -> list[Memory]:
        """Give memories in order, above `after`: those of items, or of keys of which only the past is left."""
        ...

    def take_in(self, state: State, memories: Sequence[Memory], *, skip: bool) -> int:
        """Keep memories that come from elsewhere, in order, and give their number.

        What was there before stays as it is: it is skipped or, unless `skip`, a Conflict.
        """
        ...


def indexed_here(memory: Memory, settings: Settings) -> Memory:
    """Prepare a memory that comes from elsewhere for a store's own index.

    Its vectors are taken along, unless the store's embedder has to make others; then the item waits for those.
    """
    if memory.item is None:
        return memory
    write = memory.item.write
    value = decode_value(write.value or b"{}")
    vectors, waiting, index = write.vectors, write.waiting, indexable(value, write.fields, settings)
    if settings.embedder is not None and not (index.texts and _fits(vectors, index.texts, settings.embedder.model)):
        vectors, waiting = None, ELSEWHERE if index.texts else None
    own = replace(write, words=index.words, marks=index.marks, vectors=vectors, waiting=waiting)
    return replace(memory, item=replace(memory.item, write=own))


def _fits(vectors: Vectors | None, texts: Sequence[str], model: str) -> bool:
    """Say whether vectors are of these texts, by this embedder."""
    return vectors is not None and vectors.model == model and vectors.hashes == b"".join(map(text_hash, texts))
