"""The searchable side of the items below one prefix: terms, vectors and marks as arrays, in the order of writing.

Built by an engine from what it keeps, cached by it while nothing changes, read by `ranking`. It knows no database
and no scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from clew.store.context import Surroundings, find_surroundings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEQUENCE_BITS = 32  # an item's id is its namespace's number, shifted by these, and its place in the order of writing
_LOOKUPS_BEFORE_SORTING = 64  # about four queries: sorting costs as much as some sixty lookups without it
_MOST_KNOWN = 1000
_BYTES_PER_ITEM = 200  # what is kept besides the big arrays, about


class IndexRow(NamedTuple):
    """What is indexed of one item.

    Args:
        id: the engine's name for the item; see SEQUENCE_BITS.
        words: 32-bit hashes of its terms, with repetitions.
        marks: see clew.store.marks.
        vectors: float32 bytes of its vectors of one model, of length 1, one after another; empty: none.
    """

    id: int
    words: bytes
    marks: bytes
    vectors: bytes


class Postings(NamedTuple):
    """Which items have a term, sorted, and how many times each."""

    owners: NDArray[np.intp]
    times: NDArray[np.intp]


class Corpus:
    """The items below one prefix.

    Args:
        rows: IndexRows or plain tuples like them, sorted by id.
        dims: length of the vectors; 0: they are left out.
    """

    def __init__(self, rows: Sequence[tuple[int, bytes, bytes, bytes]], dims: int) -> None:
        import numpy as np

        ids, words, marks, vectors = tuple(zip(*rows, strict=True)) or ((), (), (), ())
        size = 4 * dims or 1
        sizes = np.fromiter(map(len, vectors), np.int64, len(ids)) if dims else np.zeros(len(ids), np.int64)
        if np.any(sizes % size):
            # Vectors of another length are left by an embedder of the same name; they count as missing.
            vectors = tuple(v if len(v) % size == 0 else b"" for v in vectors)
            sizes = np.fromiter(map(len, vectors), np.int64, len(ids))
        parts = sizes // size
        data = b"".join(vectors) if dims else b""
        self.ids: NDArray[np.int64] = np.array(ids, dtype=np.int64)
        self.lengths: NDArray[np.int64] = np.fromiter(map(len, words), np.int64, len(ids)) // 4
        self.terms: NDArray[np.uint32] = np.frombuffer(b"".join(words), dtype="<u4")
        self.owners: NDArray[np.int32] = np.repeat(np.arange(len(ids), dtype=np.int32), self.lengths)
        self.vectors: NDArray[np.float32] = np.frombuffer(data, dtype="<f4").reshape(-1, dims or 1)
        self.vector_owners: NDArray[np.int64] = np.repeat(np.arange(len(ids)), parts)
        self.one_vector_each = len(ids) > 0 and bool(np.all(parts == 1))
        self._marks: tuple[bytes, ...] = marks
        self._lookups = 0
        self._known: dict[int, Postings] = {}

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def surroundings(self) -> Surroundings:
        """What the order of writing and the short fields tell; found when first asked for."""
        return find_surroundings(self.ids >> SEQUENCE_BITS, self._marks, self.vectors, self.vector_owners)

    def postings(self, term: int) -> Postings:
        """Give the items that have a term."""
        if (known := self._known.get(term)) is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[term] = self._find(term)
        return known

    def _find(self, term: int) -> Postings:
        import numpy as np

        self._lookups += 1
        if self._lookups > _LOOKUPS_BEFORE_SORTING:
            terms, owners, times = self._sorted
            start, end = (
                np.searchsorted(terms, np.uint32(term), "left"),
                np.searchsorted(terms, np.uint32(term), "right"),
            )
            return Postings(owners[start:end], times[start:end])
        hits = self.owners[self.terms == np.uint32(term)]
        if not len(hits):
            return Postings(hits.astype(np.intp), hits.astype(np.intp))
        first = np.flatnonzero(np.diff(hits, prepend=-1))
        return Postings(hits[first].astype(np.intp), np.diff(first, append=len(hits)))

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.uint32], NDArray[np.intp], NDArray[np.intp]]:
        """Every term's items, sorted by term: term, item, times."""
        import numpy as np

        both = np.sort(self.terms.astype(np.uint64) << np.uint64(32) | self.owners.astype(np.uint64))
        first = np.flatnonzero(np.diff(both, prepend=np.uint64(2**64 - 1)))
        times = np.diff(first, append=len(both))
        both = both[first]
        return (both >> np.uint64(32)).astype(np.uint32), (both & np.uint64(2**32 - 1)).astype(np.intp), times

    @property
    def size_bytes(self) -> int:
        """How much memory it takes, with the sorted terms that it may come to have."""
        arrays = (self.ids, self.lengths, self.vectors, self.vector_owners)
        return sum(a.nbytes for a in arrays) + 28 * len(self.terms) + _BYTES_PER_ITEM * len(self.ids)
