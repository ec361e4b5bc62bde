"""How a search goes on any engine: newest first, or ranked over the corpus. The engine only fetches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from math import inf
from typing import Any, Protocol

from msgspec import Struct

from clew.errors import UnreadableRecord
from clew.store.corpus import Corpus
from clew.store.expiry import from_us
from clew.store.filters import Filter, meets
from clew.store.namespaces import decode
from clew.store.operations import Explanation, Item, Namespace, SearchItem
from clew.store.planning import PreparedSearch
from clew.store.ranking import rank
from clew.store.values import read_value

_MISSES_BEFORE_BUILDING = 2  # building takes about as long as three searches that do without
_MOST_MISSED = 1_000
EXACT_ITEMS = 12_000  # above, reading all vectors takes too long; nearly no namespace has more


class Stored(Struct, frozen=True):
    """An item as an engine keeps it; `value` is JSON, times are microseconds since 1970."""

    id: int
    namespace: Namespace
    key: str
    value: bytes | str
    created_us: int
    updated_us: int
    ttl_us: int | None
    version: int

    @classmethod
    def of(cls, row: Sequence[Any]) -> Stored:
        """Give an item from a row of these fields, whose namespace is its path."""
        item_id, path, key, value, created_us, updated_us, ttl_us, version = row
        return cls(item_id, decode(path), key, value, created_us, updated_us, ttl_us, version)

    def item(self) -> Item:
        """Give the item, its value a fresh copy."""
        created_at = from_us(self.created_us)
        return Item(
            namespace=self.namespace,
            key=self.key,
            value=read_value(self.value, self.namespace, self.key),
            created_at=created_at,
            updated_at=created_at if self.updated_us == self.created_us else from_us(self.updated_us),
            version=self.version,
        )


class Found(Struct, frozen=True):
    """An item on a page of a search; see SearchItem."""

    stored: Stored
    score: float | None = None
    why: Explanation | None = None

    def item(self) -> SearchItem:
        """Give the item as people see it, its value a fresh copy."""
        s = self.stored
        created_at = from_us(s.created_us)
        return SearchItem(
            namespace=s.namespace,
            key=s.key,
            value=read_value(s.value, s.namespace, s.key),
            created_at=created_at,
            updated_at=created_at if s.updated_us == s.created_us else from_us(s.updated_us),
            version=s.version,
            score=self.score,
            why=self.why,
        )


class Shelf(Protocol):
    """What an engine fetches of the items below one prefix, in one transaction. Expired items are not there."""

    def newest(self, condition: Filter | None) -> Iterator[Stored]:
        """Give at least the items that meet the condition, newest first, reading no more than is taken."""
        ...

    def corpus(self, dims: int) -> Corpus:
        """Give what is indexed, expired items included; coded where there is more than EXACT_ITEMS.

        For a search by meaning alone it may be no more than those items, all of them allowed, that the page may show.
        """
        ...

    def vectors(self, ids: Sequence[int]) -> dict[int, bytes]:
        """Give the vectors of items that have some in the corpus."""
        ...

    def allowed(self, condition: Filter | None) -> Collection[int] | None:
        """Give the ids of the items that meet the condition; None when that is all there are."""
        ...

    def by_ids(self, ids: Sequence[int]) -> dict[int, Stored]:
        """Give items by id."""
        ...


class Change(Protocol):
    """Up to where a store's changes are seen: a number, or what an engine has instead; less where others see more."""

    def __lt__(self, other: Any, /) -> bool: ...


class CachedCorpus(Struct, frozen=True):
    """A corpus and the last change of the store that is in it."""

    change: Any
    corpus: Corpus


Refresh = Callable[[CachedCorpus], Corpus | None]


class CorpusCache:
    """The corpora used last, up to a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: dict[object, CachedCorpus] = {}
        self._missed: dict[object, float] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._kept

    def is_worth_building(self, name: object) -> bool:
        """Say whether a missing corpus should be built where less would do: if it is missed often, and fits in."""
        missed = {**self._missed, name: self._missed.get(name, 0) + 1}
        self._missed = missed if len(missed) <= _MOST_MISSED else {name: 1}
        return missed[name] > _MISSES_BEFORE_BUILDING

    def get(self, name: object, change: Change, refresh: Refresh, build: Callable[[], Corpus], *, keep: bool) -> Corpus:
        """Give the corpus as of a change, and keep it if asked.

        Args:
            refresh: brings an earlier one up to date; None where that cannot be done.
            build: makes it from nothing.
        """
        known = self._kept.get(name)
        if known is not None and known.change == change:
            self._kept[name] = self._kept.pop(name, known)
            return known.corpus
        corpus = refresh(known) if known is not None and known.change < change else None
        corpus = build() if corpus is None else corpus
        if keep:
            self._keep(name, CachedCorpus(change, corpus))
        return corpus

    def _keep(self, name: object, cached: CachedCorpus) -> None:
        self._kept.pop(name, None)
        if cached.corpus.size_bytes > self._most_bytes:
            self._missed = {**self._missed, name: -inf}
            return
        kept = {**self._kept, name: cached}
        size = sum(c.corpus.size_bytes for c in kept.values())
        for oldest in list(kept):
            if size <= self._most_bytes:
                break
            size -= kept.pop(oldest).corpus.size_bytes
        self._kept = kept  # replaced as a whole: readers on other OS threads never see it half done


def search(shelf: Shelf, request: PreparedSearch) -> list[Found]:
    """Give one page of what is found."""
    if request.limit == 0:
        return []
    if request.mode is None:
        return [Found(stored) for stored in _newest_page(shelf, request)]
    corpus = shelf.corpus(request.dims)
    hits = rank(corpus, request, shelf.allowed(request.condition), shelf.vectors)
    stored = shelf.by_ids([hit.id for hit in hits])
    if len(stored) < len(hits):
        lost = [hit.id for hit in hits if hit.id not in stored]
        raise UnreadableRecord(f"memories are indexed, but not there (rows {lost}): the database was changed by hand")
    return [Found(stored[hit.id], hit.score, hit.why) for hit in hits]


def _newest_page(shelf: Shelf, request: PreparedSearch) -> Iterator[Stored]:
    found = shelf.newest(request.condition)
    if request.condition is not None:
        found = (s for s in found if meets(request.condition, s.value))
    return islice(found, request.offset, request.offset + request.limit)
