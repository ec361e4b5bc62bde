"""Memories that are encrypted where they are kept: a keeper between the store and any engine's keeper.

An engine gets values as a JSON text of encrypted bytes, which is no value of a memory, so that nobody reads it as one;
and what stands for words instead of the words' hashes. It sees namespaces, keys, times, vectors and the paths that are
indexed as they are. How bytes are encrypted is not known here.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import msgspec
from msgspec.structs import asdict, replace

from clew.errors import UnreadableRecord
from clew.store.filters import Behind
from clew.store.history import Moment, Version
from clew.store.keeper import Erased, Keeper, Place, Reading
from clew.store.listing import PreparedListing
from clew.store.moving import Memory
from clew.store.operations import Namespace
from clew.store.outbox import Indexed, IndexStatus, Reindexed, Waiting, Worked, Written
from clew.store.planning import PreparedGet, PreparedSearch, PreparedWrite
from clew.store.search import Found, Stored

S = TypeVar("S")
_PLACE = ("a memory",)


class Keys(Protocol):
    """What encrypts."""

    def seal(self, data: bytes, place: Sequence[str]) -> bytes:
        """Encrypt bytes for one place."""
        ...

    def open(self, sealed: bytes, place: Sequence[str]) -> bytes:
        """Decrypt them; UnreadableRecord for bytes that are not what was sealed for this place."""
        ...

    def hidden_terms(self, term: int) -> tuple[int, ...]:
        """Give what stands for the 32-bit hash of a word, under each key, that which encrypts first."""
        ...


class SealedWrite(PreparedWrite, frozen=True, kw_only=True):
    """A write whose value and words are encrypted already."""


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    """What is encrypted of a memory: its place goes with it, so that no other place can show it."""

    namespace: Namespace
    key: str
    value: msgspec.Raw


_decode_sealed = msgspec.json.Decoder(_Sealed).decode


class SealedKeeper(Generic[S]):
    """A keeper whose engine gets nothing to read; see Keeper.

    Args:
        keeper: the engine's.
        keys: encrypts.
    """

    def __init__(self, keeper: Keeper[S], keys: Keys) -> None:
        self._keeper = keeper
        self._keys = keys

    def sealed(self, write: PreparedWrite) -> PreparedWrite:
        """Give a write as it is kept; one that is sealed already stays as it is."""
        if isinstance(write, SealedWrite):
            return write
        kept = asdict(write)
        if write.value is not None:
            kept["value"] = self._seal(write.namespace, write.key, write.value)
            kept["words"] = self._hidden(write.words)
            kept["marks"] = write.marks[:4] + self._hidden(write.marks[4:])
            kept["waiting"] = _without_details(write.waiting)
        return SealedWrite(**kept)

    def get(self, state: S, read: PreparedGet, reading: Reading) -> Stored | None:
        stored = self._keeper.get(state, read, reading)
        return None if stored is None else self._opened(stored)

    def search(self, state: S, read: PreparedSearch, reading: Reading) -> list[Found]:
        hidden = replace(
            read,
            condition=None if read.condition is None else Behind(self._open, read.condition),
            words=tuple(hidden for term in read.words for hidden in self._keys.hidden_terms(term)),
            names=frozenset(hidden for name in read.names for hidden in self._keys.hidden_terms(name)),
            word_vectors=tuple(
                (hidden, vector) for term, vector in read.word_vectors for hidden in self._keys.hidden_terms(term)
            ),
        )
        found = self._keeper.search(state, hidden, reading)
        return [replace(one, stored=self._opened(one.stored)) for one in found]

    def versions(
        self, state: S, prefix: Namespace, key: str | None = None, moment: Moment | None = None
    ) -> Iterable[Version]:
        return map(self._opened_version, self._keeper.versions(state, prefix, key, moment))

    def apply(self, state: S, writes: Sequence[PreparedWrite], now: datetime) -> None:
        self._keeper.apply(state, [self.sealed(write) for write in writes], now)

    def waiting(self, state: S, limit: int, model: str, dims: int | None, now: datetime) -> list[Waiting]:
        found = self._keeper.waiting(state, limit, model, dims, now)
        return [replace(one, value=self._open(one.value)) for one in found]

    def written(self, state: S, writes: Sequence[PreparedWrite]) -> list[Written | None]:
        return self._keeper.written(state, writes)

    def set_vectors(self, state: S, worked: Sequence[Worked], now: datetime) -> None:
        told = [replace(one, reason=_without_details(one.reason)) for one in worked]
        self._keeper.set_vectors(state, told, now)

    def indexed(self, state: S, after: int, limit: int) -> list[Indexed]:
        found = self._keeper.indexed(state, after, limit)
        return [replace(one, value=self._open(one.value)) for one in found]

    def reindex(self, state: S, anew: Sequence[Reindexed], now: datetime) -> None:
        hidden = [
            replace(
                one,
                words=self._hidden(one.words),
                marks=one.marks[:4] + self._hidden(one.marks[4:]),
                waiting=_without_details(one.waiting),
            )
            for one in anew
        ]
        self._keeper.reindex(state, hidden, now)

    def memories(self, state: S, after: int, limit: int, *, past: bool) -> list[Memory]:
        return [self._opened_memory(memory) for memory in self._keeper.memories(state, after, limit, past=past)]

    def take_in(self, state: S, memories: Sequence[Memory], *, skip: bool) -> int:
        return self._keeper.take_in(state, [self._sealed_memory(memory) for memory in memories], skip=skip)

    # What follows holds no values.

    def all_namespaces(self, state: S) -> list[Namespace]:
        return self._keeper.all_namespaces(state)

    def forget_writers(self, state: S, thread_ids: Sequence[str]) -> None:
        self._keeper.forget_writers(state, thread_ids)

    def list_namespaces(self, state: S, read: PreparedListing, now: datetime) -> list[Namespace]:
        return self._keeper.list_namespaces(state, read, now)

    def refresh(self, state: S, places: Sequence[Place], now: datetime) -> None:
        self._keeper.refresh(state, places, now)

    def delete_namespace(self, state: S, prefix: Namespace, now: datetime, keeps: int) -> int:
        return self._keeper.delete_namespace(state, prefix, now, keeps)

    def sweep(self, state: S, now: datetime, keeps: int) -> int:
        return self._keeper.sweep(state, now, keeps)

    def forget(self, state: S, before: datetime) -> None:
        self._keeper.forget(state, before)

    def erase(self, state: S, prefix: Namespace) -> Erased:
        return self._keeper.erase(state, prefix)

    def made_at(self, state: S, checkpoint_id: str) -> datetime | None:
        return self._keeper.made_at(state, checkpoint_id)

    def index_status(self, state: S, model: str, dims: int | None) -> IndexStatus:
        return self._keeper.index_status(state, model, dims)

    def other_models(self, state: S, model: str, dims: int | None) -> list[str]:
        return self._keeper.other_models(state, model, dims)

    def forget_models(self, state: S) -> None:
        self._keeper.forget_models(state)

    def _seal(self, namespace: Namespace, key: str, value: bytes) -> bytes:
        content = msgspec.json.encode(_Sealed(namespace, key, msgspec.Raw(value)))
        return msgspec.json.encode(self._keys.seal(content, _PLACE))  # as Base64

    def _sealed_memory(self, memory: Memory) -> Memory:
        item = memory.item and replace(memory.item, write=self.sealed(memory.item.write))
        return replace(memory, item=item, versions=[self._sealed_version(version) for version in memory.versions])

    def _opened_memory(self, memory: Memory) -> Memory:
        item = memory.item
        if item is not None:
            opened = self._open_at(memory, item.write.value or b"")
            item = replace(item, write=replace(item.write, value=opened))
        return replace(memory, item=item, versions=[self._opened_version(version) for version in memory.versions])

    def _sealed_version(self, version: Version) -> Version:
        value = version.value
        if value is None:
            return version
        data = value.encode() if isinstance(value, str) else value
        return version._replace(value=self._seal(version.namespace, version.key, data))

    def _opened_version(self, version: Version) -> Version:
        value = version.value
        return version if value is None else version._replace(value=self._open_at(version, value))

    def _hidden(self, terms: bytes) -> bytes:
        return array("I", [self._keys.hidden_terms(term)[0] for term in array("I", terms)]).tobytes()

    def _opened(self, stored: Stored) -> Stored:
        return replace(stored, value=self._open_at(stored, stored.value))

    def _open_at(self, found: Stored | Version | Memory, value: bytes | str) -> bytes:
        """Give the JSON of a memory, if it was sealed for the place where it was found."""
        try:
            content = self._content(value)
        except UnreadableRecord as error:
            raise UnreadableRecord(f"memory {found.key!r} of {found.namespace!r} cannot be read: {error}") from error
        if (content.namespace, content.key) != (found.namespace, found.key):
            raise UnreadableRecord(
                f"memory {found.key!r} of {found.namespace!r} was moved there from {content.key!r} of "
                f"{content.namespace!r} by other means than this library"
            )
        return bytes(content.value)

    def _open(self, value: bytes | str) -> bytes:
        return bytes(self._content(value).value)

    def _content(self, value: bytes | str) -> _Sealed:
        return _decode_sealed(self._keys.open(_sealed_bytes(value), _PLACE))


def is_sealed(value: bytes | str | None) -> bool:
    """Say whether a value is what a SealedKeeper keeps."""
    return value is not None and _sealed_bytes(value) != b""


def _sealed_bytes(value: bytes | str) -> bytes:
    """Give the encrypted bytes of a value as it is kept; none where it is something else."""
    try:
        return msgspec.json.decode(value, type=bytes)
    except (ValueError, RecursionError):
        return b""


def _without_details(reason: str | None) -> str | None:
    """Give what went wrong without the words of who told it, which may quote the text that it failed on."""
    return reason if reason is None else reason.partition(":")[0]
