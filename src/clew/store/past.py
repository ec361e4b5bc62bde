"""Searching memory as it was: the versions of a moment as a shelf of their own, indexed for one search.

What surrounded an item counts as it does now: the order of writing is that of the items' creation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from msgspec import Struct

from clew.store.corpus import SEQUENCE_BITS, Corpus
from clew.store.embedding import Embedded
from clew.store.filters import Filter, meets
from clew.store.history import Version
from clew.store.indexable import indexable
from clew.store.operations import SearchItem
from clew.store.planning import PreparedSearch, join_vectors
from clew.store.search import Stored, search
from clew.store.settings import Settings
from clew.store.values import decode_value


def past_texts(versions: Sequence[Version], request: PreparedSearch, settings: Settings) -> list[str]:
    """Give the texts whose vectors a search of these versions compares with its query's."""
    if request.vector is None:
        return []
    return [t for v in versions for t in indexable(decode_value(v.value or b"{}"), v.fields, settings).texts]


def search_past(
    versions: Sequence[Version], request: PreparedSearch, settings: Settings, embedded: Embedded
) -> list[SearchItem]:
    """Give one page of the versions that a search finds."""
    return [found.item() for found in search(_PastShelf(versions, settings, embedded), request)]


class _Row(Struct, frozen=True):
    """A version with the id that it has for this search."""

    stored: Stored
    version: Version


class _PastShelf:
    """The items below one prefix as they were; see Shelf."""

    def __init__(self, versions: Sequence[Version], settings: Settings, embedded: Embedded) -> None:
        numbers: dict[tuple[str, ...], int] = {}
        self._rows: dict[int, _Row] = {}
        self._settings = settings
        self._embedded = embedded
        for place, v in enumerate(sorted(versions, key=lambda v: (v.namespace, v.created_us, v.key))):
            item_id = numbers.setdefault(v.namespace, len(numbers) + 1) << SEQUENCE_BITS | place
            stored = Stored(
                item_id, v.namespace, v.key, v.value or b"{}", v.created_us, v.updated_us, None, v.version
            )  # fmt: skip
            self._rows[item_id] = _Row(stored, v)

    def newest(self, condition: Filter | None) -> Iterator[Stored]:
        stored = (row.stored for row in self._rows.values())
        return iter(sorted(stored, key=lambda s: (s.updated_us, s.id), reverse=True))

    def corpus(self, dims: int) -> Corpus:
        return Corpus([self._indexed(row) for row in self._rows.values()], dims)

    def allowed(self, condition: Filter | None) -> Collection[int] | None:
        if condition is None:
            return None
        return {i for i, row in self._rows.items() if meets(condition, row.stored.value)}

    def by_ids(self, ids: Sequence[int]) -> dict[int, Stored]:
        return {i: self._rows[i].stored for i in ids}

    def vectors(self, ids: Sequence[int]) -> dict[int, bytes]:
        return {i: self._indexed(self._rows[i])[-1] for i in ids}

    def _indexed(self, row: _Row) -> tuple[int, bytes, bytes, bytes]:
        index = indexable(decode_value(row.stored.value), row.version.fields, self._settings)
        vectors = join_vectors(index.texts, self._embedded, "")
        return row.stored.id, index.words, index.marks, vectors.data if vectors else b""
