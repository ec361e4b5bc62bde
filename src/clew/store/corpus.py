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
_BYTES_PER_ITEM = 100  # what is kept besides the big arrays, about


class IndexRow(NamedTuple):
    """What is indexed of one item.

    Args:
        id: the engine's name for the item; see SEQUENCE_BITS.
        words: 32-bit hashes of its terms, with repetitions.
        marks: see clew.store.marks.
        vectors: bytes of its vectors of one model, one after another: float32 of length 1, or codes; empty: none.
    """

    id: int
    words: bytes
    marks: bytes
    vectors: bytes


class Postings(NamedTuple):
    """Which items have a term, sorted, and how many times each."""

    owners: NDArray[np.intp]
    times: NDArray[np.uint8]


def _small(counts: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Give counts in one byte each; more than 255 times says no more than 255."""
    import numpy as np

    return np.minimum(counts, 255).astype(np.uint8)


class Corpus:
    """The items below one prefix.

    Args:
        rows: IndexRows or plain tuples like them, sorted by id.
        dims: length of the vectors; 0: they are left out.
        coded: the rows have codes instead of vectors, so that similarities are approximate.
    """

    def __init__(self, rows: Sequence[tuple[int, bytes, bytes, bytes]], dims: int, *, coded: bool = False) -> None:
        import numpy as np

        ids, words, marks, vectors = tuple(zip(*rows, strict=True)) or ((), (), (), ())
        size = (code_bytes(dims) if coded else 4 * dims) or 1
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
        self.dims, self.coded = dims, coded
        self.vectors: NDArray[np.float32] = np.frombuffer(b"" if coded else data, "<f4").reshape(-1, dims or 1)
        codes = np.frombuffer(data if coded else b"", "<u8").reshape(-1, size // 8 or 1)
        self.codes: NDArray[np.uint64] = np.ascontiguousarray(codes.T)  # word by word: read in a few long runs
        self.vector_owners: NDArray[np.int64] = np.repeat(np.arange(len(ids)), parts)
        self.one_vector_each = len(ids) > 0 and bool(np.all(parts == 1))
        self._marks: tuple[bytes, ...] = marks
        self._lookups = 0
        self._known: dict[int, Postings] = {}
        if coded:
            # A wide corpus is asked often and is large: its terms are sorted now and not kept twice. Not later, because
            # other OS threads may be reading them then.
            self._lookups = _LOOKUPS_BEFORE_SORTING
            _ = self._sorted
            self.terms, self.owners = self.terms[:0].copy(), self.owners[:0].copy()

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def surroundings(self) -> Surroundings:
        """What the order of writing and the short fields tell; found when first asked for."""
        return find_surroundings(self.ids >> SEQUENCE_BITS, self._marks, self._similarities, self.vector_owners)

    def similarities_to(self, query: bytes) -> NDArray[np.float32]:
        """Give each vector's cosine similarity with the query's; approximate if the corpus is coded."""
        import numpy as np

        vector = np.frombuffer(query, dtype="<f4")
        if self.coded:
            return self._cosines(self.codes, np.frombuffer(code_of(query, self.dims), "<u8")[:, None])
        length = float(np.linalg.norm(vector))
        similarities: NDArray[np.float32] = self.vectors @ (vector / (length or 1.0)).astype(np.float32)
        return similarities

    def _similarities(self, left: NDArray[np.intp], right: NDArray[np.intp]) -> NDArray[np.float32]:
        """Give the cosine similarities of pairs of vectors."""
        import numpy as np

        if self.coded:
            return self._cosines(self.codes[:, left], self.codes[:, right])
        cosines: NDArray[np.float32] = np.einsum("ij,ij->i", self.vectors[left], self.vectors[right])
        return cosines

    def _cosines(self, left: NDArray[np.uint64], right: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Give the cosine of the angle that a share of differing signs stands for.

        Source: Charikar, "Similarity estimation techniques from rounding algorithms" (STOC 2002).
        """
        import numpy as np

        differing = np.zeros(left.shape[1], dtype=np.uint16)
        for some, others in zip(left, right, strict=True):
            differing += _ones(some ^ others)
        cosines: NDArray[np.float32] = np.cos(np.arange(self.dims + 1) * (np.pi / (self.dims or 1))).astype(np.float32)
        return cosines[differing]

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
            return Postings(owners[start:end].astype(np.intp), times[start:end])
        hits = self.owners[self.terms == np.uint32(term)]
        first = np.flatnonzero(np.diff(hits, prepend=-1))
        return Postings(hits[first].astype(np.intp), _small(np.diff(first, append=len(hits))))

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.uint32], NDArray[np.int32], NDArray[np.uint8]]:
        """Every term's items, sorted by term: term, item, times."""
        import numpy as np

        both = np.sort(self.terms.astype(np.uint64) << np.uint64(32) | self.owners.astype(np.uint64))
        first = np.flatnonzero(np.diff(both, prepend=np.uint64(2**64 - 1)))
        times = _small(np.diff(first, append=len(both)))
        both = both[first]
        return (both >> np.uint64(32)).astype(np.uint32), (both & np.uint64(2**32 - 1)).astype(np.int32), times

    @property
    def size_bytes(self) -> int:
        """How much memory it takes, about."""
        arrays = (self.ids, self.lengths, self.vectors, self.codes, self.vector_owners, self.terms, self.owners)
        return sum(a.nbytes for a in arrays) + 9 * int(self.lengths.sum()) + _BYTES_PER_ITEM * len(self.ids)


def code_bytes(dims: int) -> int:
    """Give the length of a vector's code: one bit for each dimension, in whole 64-bit words."""
    return -(-dims // 64) * 8


def code_of(vectors: bytes, dims: int) -> bytes:
    """Give the codes of float32 vectors, one after another: the signs of their components."""
    import numpy as np

    signs = np.packbits(np.frombuffer(vectors, dtype="<f4").reshape(-1, dims) > 0, axis=1)
    return np.pad(signs, ((0, 0), (0, code_bytes(dims) - signs.shape[1]))).tobytes()


def _ones(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Count the bits that are set in each word."""
    import numpy as np

    counts: NDArray[np.uint8]
    if hasattr(np, "bitwise_count"):
        counts = np.bitwise_count(words)
    else:  # numpy before 2.0
        bits = np.array([n.bit_count() for n in range(256)], dtype=np.uint8)
        counts = bits[np.ascontiguousarray(words).view(np.uint8).reshape(-1, 8)].sum(axis=1, dtype=np.uint8)
    return counts
