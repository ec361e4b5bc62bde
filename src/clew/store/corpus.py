"""The searchable side of the items below one prefix: terms, vectors and marks as arrays, in the order of writing.

Built by an engine from what it keeps, kept by it from search to search, and made anew from the old one and the rows
that have changed. Read by `ranking`. It knows no database and no scores.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from clew.errors import UnreadableRecord
from clew.store.codes import code_bytes, code_of, ones
from clew.store.context import Marks, Surroundings, find_surroundings
from clew.store.parts import Whole
from clew.store.slabs import DAMAGED, Slab, slabs_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T", bound="np.generic")

SEQUENCE_BITS = 32  # an item's id is its namespace's number, shifted by these, and its place in the order of writing
_LOOKUPS_BEFORE_SORTING = 64  # about four queries: sorting costs as much as some sixty lookups without it
_MOST_UNSORTED = 20_000  # items; of more, terms are sorted at once and kept sorted alone
_MOST_KNOWN_PER_ITEM = 4  # entries of postings that are kept, beside the first thousands
_BYTES_PER_ITEM = 100  # what is kept besides the big arrays, about: those postings, marks, surroundings


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


class _Sorted(NamedTuple):
    """Every term's items, sorted by term, then by item."""

    terms: NDArray[np.uint32]
    owners: NDArray[np.int32]
    times: NDArray[np.uint8]


class Postings(NamedTuple):
    """Which items have a term, sorted, and how many times each."""

    owners: NDArray[np.intp]
    times: NDArray[np.uint8]


def _runs(values: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Give where each run of equal values begins and how long it is; 255 stands for all that are longer."""
    import numpy as np

    begins = np.ones(len(values) + 1, bool)
    np.not_equal(values[1:], values[:-1], out=begins[1:-1])
    edges = np.flatnonzero(begins)
    return edges[:-1], np.minimum(edges[1:] - edges[:-1], 255).astype(np.uint8)


def _sort(terms: NDArray[np.uint32], owners: NDArray[np.int32]) -> _Sorted:
    """Sort terms and the items that have them, each pair once."""
    import numpy as np

    both = np.sort(terms.astype(np.uint64) << np.uint64(32) | owners.astype(np.uint64))
    first, times = _runs(both)
    both = both[first]
    return _Sorted((both >> np.uint64(32)).astype(np.uint32), (both & np.uint64(2**32 - 1)).astype(np.int32), times)


def _merge(old: _Sorted, new: _Sorted, old_size: int, size: int, chosen: NDArray[np.intp]) -> _Sorted:
    """Merge the terms of two corpora, of whose items, numbered through, some are chosen."""
    import numpy as np

    place = np.full(size, -1, dtype=np.int32)
    place[chosen] = np.arange(len(chosen), dtype=np.int32)
    owners = place[: max(1, old_size)][old.owners]
    stays = owners >= 0
    left = _Sorted(old.terms[stays], owners[stays], old.times[stays])
    right = new._replace(owners=place[old_size:][new.owners])
    keys = [part.terms.astype(np.uint64) << np.uint64(32) | part.owners.astype(np.uint64) for part in (left, right)]
    at = np.searchsorted(keys[0], keys[1])
    return _Sorted(
        np.insert(left.terms, at, right.terms),
        np.insert(left.owners, at, right.owners),
        np.insert(left.times, at, right.times),
    )


def vector_bytes(dims: int, *, coded: bool) -> int:
    """Give the bytes of a vector, or of its code."""
    return code_bytes(dims) if coded else 4 * dims


class _Piece(NamedTuple):
    """Items that follow one another in one of two corpora: the old one, 0, or the new one, 1."""

    source: int
    start: int
    end: int


def _pieces(chosen: NDArray[np.intp], old_size: int) -> list[_Piece]:
    """Cut the chosen items of two corpora, numbered through, into as few pieces as there are."""
    import numpy as np

    begins = np.ones(len(chosen) + 1, bool)
    np.not_equal(chosen[1:], chosen[:-1] + 1, out=begins[1:-1])
    begins[:-1] |= chosen == old_size
    edges = np.flatnonzero(begins)
    sizes = edges[1:] - edges[:-1]
    firsts = chosen[edges[:-1]]
    return [
        _Piece(0, first, first + size) if first < old_size else _Piece(1, first - old_size, first - old_size + size)
        for first, size in zip(firsts.tolist(), sizes.tolist(), strict=True)
    ]


def _ragged(pieces: list[_Piece], old_sizes: NDArray[np.int64], new_sizes: NDArray[np.int64]) -> list[_Piece]:
    """Give the pieces of arrays in which each item has a number of entries."""
    import numpy as np

    ends = [np.concatenate([[0], np.cumsum(sizes)]) for sizes in (old_sizes, new_sizes)]
    return [_Piece(source, int(ends[source][start]), int(ends[source][end])) for source, start, end in pieces]


def _pick(pieces: list[_Piece], old: NDArray[T], new: NDArray[T], axis: int = 0) -> NDArray[T]:
    import numpy as np

    # The empty end gives dtype and shape where there is no piece.
    some = [
        (old, new)[source][(..., slice(start, end)) if axis else slice(start, end)] for source, start, end in pieces
    ]
    return np.concatenate([*some, (old[..., :0] if axis else old[:0])], axis=axis)


class Corpus:
    """The items below one prefix.

    Args:
        rows: IndexRows or plain tuples like them, sorted by id; read a few at a time.
        dims: length of the vectors; 0: they are left out.
        coded: the rows have codes instead of vectors, so that similarities are approximate.
    """

    whole: Whole | None = None  # of which it is a part; None: all items are in it

    def __init__(self, rows: Iterable[tuple[int, bytes, bytes, bytes]], dims: int, *, coded: bool = False) -> None:
        self._take_in(slabs_of(rows, vector_bytes(dims, coded=coded)), dims, coded)

    @classmethod
    def of_slabs(cls, slabs: Iterable[Slab], dims: int, *, coded: bool = False) -> Corpus:
        """Give the corpus of slabs, sorted by id, instead of rows; there is at least one."""
        corpus: Corpus = object.__new__(cls)
        corpus._take_in(slabs, dims, coded)
        return corpus

    def _take_in(self, slabs: Iterable[Slab], dims: int, coded: bool) -> None:
        import numpy as np

        ids, lengths, terms, mark_lengths, marks, parts, data = zip(*slabs, strict=True)
        vectors = b"".join(data)
        self.ids: NDArray[np.int64] = np.concatenate(ids)
        self.lengths: NDArray[np.int64] = np.concatenate(lengths)
        self.terms: NDArray[np.uint32] = np.concatenate(terms)
        self.owners: NDArray[np.int32] = np.repeat(np.arange(len(self.ids), dtype=np.int32), self.lengths)
        self.marks = Marks(np.concatenate(mark_lengths), np.concatenate(marks))
        if ((self.marks.lengths > 0) & (self.marks.lengths % 2 == 0)).any():
            raise UnreadableRecord(DAMAGED)  # a flag and pairs
        self.dims, self.coded = dims, coded
        self.vectors: NDArray[np.float32] = np.frombuffer(b"" if coded else vectors, "<f4").reshape(-1, dims or 1)
        codes = np.frombuffer(vectors if coded else b"", "<u8").reshape(-1, (code_bytes(dims) // 8) or 1)
        self.codes: NDArray[np.uint64] = np.ascontiguousarray(codes.T)  # word by word: read in a few long runs
        self._take_parts(np.concatenate(parts))
        self._lookups = self._known_entries = 0
        self._known: dict[int, Postings] = {}
        self._sort_if_wide()

    def _take_parts(self, parts: NDArray[np.int64]) -> None:
        import numpy as np

        self.one_vector_each = len(parts) > 0 and bool((parts == 1).all())
        self.vector_owners: NDArray[np.int64] = (
            np.arange(len(parts)) if self.one_vector_each else np.repeat(np.arange(len(parts)), parts)
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> int:
        """How many items lie below the prefix."""
        return self.whole.size if self.whole else len(self)

    def having(self, term: int) -> int:
        """Give how many items below the prefix have a term; estimated where only a part is here and nobody counted."""
        owners = self.postings(term).owners
        if self.whole is None:
            return len(owners)
        return self.whole.having.get(term, round(float(self.whole.weights[owners].sum())))

    def changed(self, rows: Sequence[tuple[int, bytes, bytes, bytes]], gone: Collection[int] = ()) -> Corpus:
        """Give the corpus with other rows in place of those of the same ids, new rows at their places, others gone.

        Takes a few copies of the arrays, not a look at every item.
        """
        import numpy as np

        new = Corpus(rows, self.dims, coded=self.coded)
        stays = np.flatnonzero(~np.isin(self.ids, np.concatenate([new.ids, np.array(list(gone), dtype=np.int64)])))
        if not rows and len(stays) == len(self):
            return self
        from_both = np.concatenate([stays, np.arange(len(self), len(self) + len(new))])
        ids = np.concatenate([self.ids, new.ids])
        chosen = from_both[np.argsort(ids[from_both], kind="stable")]
        merged: Corpus = object.__new__(Corpus)
        merged._join(self, new, chosen)
        return merged

    def _join(self, old: Corpus, new: Corpus, chosen: NDArray[np.intp]) -> None:
        """Become the chosen items of two corpora, numbered through."""
        import numpy as np

        pieces = _pieces(chosen, len(old))
        old_parts = np.bincount(old.vector_owners, minlength=len(old))
        new_parts = np.bincount(new.vector_owners, minlength=len(new))
        self.dims, self.coded = old.dims, old.coded
        self.ids = _pick(pieces, old.ids, new.ids)
        self.lengths = _pick(pieces, old.lengths, new.lengths)
        of_marks = _ragged(pieces, old.marks.lengths, new.marks.lengths)
        self.marks = Marks(
            _pick(pieces, old.marks.lengths, new.marks.lengths), _pick(of_marks, old.marks.numbers, new.marks.numbers)
        )
        self._lookups, self._known_entries, self._known = 0, 0, {}
        self._take_parts(_pick(pieces, old_parts, new_parts))
        of_vectors = _ragged(pieces, old_parts, new_parts)
        self.vectors = old.vectors if old.coded else _pick(of_vectors, old.vectors, new.vectors)
        self.codes = _pick(of_vectors, old.codes, new.codes, axis=1) if old.coded else old.codes
        if old.is_wide or new.is_wide:
            self._keep_sorted(_merge(old._sorted, new._sorted, len(old), len(old) + len(new), chosen))
        else:
            self.terms = _pick(_ragged(pieces, old.lengths, new.lengths), old.terms, new.terms)
            self.owners = np.repeat(np.arange(len(chosen), dtype=np.int32), self.lengths)
            self._sort_if_wide()

    @cached_property
    def surroundings(self) -> Surroundings:
        """What the order of writing and the short fields tell; found when first asked for."""
        spaces = self.ids >> SEQUENCE_BITS
        return find_surroundings(spaces, self.marks, self._similarities, self.vector_owners, self.whole)

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
        """Give the cosine similarities of vectors with those of each row of others."""
        import numpy as np

        if self.coded:
            return self._cosines(self.codes[:, None, left], self.codes[:, right])
        cosines: NDArray[np.float32] = np.einsum("ij,kij->ki", self.vectors[left], self.vectors[right])
        return cosines

    def _cosines(self, left: NDArray[np.uint64], right: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Give the cosine of the angle that a share of differing signs stands for.

        Source: Charikar, "Similarity estimation techniques from rounding algorithms" (STOC 2002).
        """
        import numpy as np

        differing = np.zeros(np.broadcast_shapes(left.shape[1:], right.shape[1:]), dtype=np.uint16)
        for some, others in zip(left, right, strict=True):
            differing += ones(some ^ others)
        cosines: NDArray[np.float32] = np.cos(np.arange(self.dims + 1) * (np.pi / (self.dims or 1))).astype(np.float32)
        return cosines[differing]

    def postings(self, term: int) -> Postings:
        """Give the items that have a term."""
        if (known := self._known.get(term)) is None:
            known = self._find(term)
            self._known_entries += 1 + len(known.owners)
            if self._known_entries > _MOST_KNOWN_PER_ITEM * len(self) + 5000:
                self._known, self._known_entries = {}, 0  # replaced: other OS threads may be reading it
            self._known[term] = known
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
        hits = self.owners[np.flatnonzero(self.terms == np.uint32(term))]
        first, times = _runs(hits)
        return Postings(hits[first].astype(np.intp), times)

    @cached_property
    def _sorted(self) -> _Sorted:
        return _sort(self.terms, self.owners)

    def _sort_if_wide(self) -> None:
        self.is_wide = False
        if len(self) > _MOST_UNSORTED:
            self._keep_sorted(_sort(self.terms, self.owners))

    def _keep_sorted(self, given: _Sorted) -> None:
        """Keep the terms of a wide corpus in this form alone: it is asked often, and large."""
        import numpy as np

        self.is_wide = True
        # Set now and not when first used, because other OS threads may be reading it then.
        self.__dict__["_sorted"] = given
        self._lookups = _LOOKUPS_BEFORE_SORTING
        self.terms, self.owners = np.empty(0, np.uint32), np.empty(0, np.int32)

    @property
    def size_bytes(self) -> int:
        """How much memory it takes, about."""
        arrays = (
            self.ids, self.lengths, self.vectors, self.codes, self.vector_owners, self.terms, self.owners, *self.marks
        )  # fmt: skip
        return sum(a.nbytes for a in arrays) + 9 * int(self.lengths.sum()) + _BYTES_PER_ITEM * len(self.ids)
