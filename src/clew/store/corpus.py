"""The searchable side of the items below one prefix: terms, vectors and marks as arrays, in the order of writing.

Built by an engine from what it keeps, kept by it from search to search, and made anew from the old one and the rows
that have changed. Read by `ranking`. It knows no database and no scores.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from clew.errors import UnreadableRecord
from clew.store.codes import code_bytes
from clew.store.comparing import vectors_of
from clew.store.context import Marks, Surroundings, extended, find_surroundings
from clew.store.parts import Whole
from clew.store.picking import Piece, pick, pieces_of, ragged
from clew.store.postings import Postings, Sorted, merge_terms, of_term, runs_of, sort_terms
from clew.store.slabs import DAMAGED, Slab, slabs_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Row = tuple[int, bytes, bytes, bytes]

SEQUENCE_BITS = 32  # an item's id is its namespace's number, shifted by these, and its place in the order of writing
_LOOKUPS_BEFORE_SORTING = 64  # about four queries: sorting costs as much as some sixty lookups without it
_MOST_UNSORTED = 20_000  # items; of more, terms are sorted at once and kept sorted alone
_MOST_KNOWN_PER_ITEM = 4  # entries of postings that are kept, beside the first thousands
_LATE_SHARE = 64  # one item in so many may come late: more often, sorting them in would take longer than it saves
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


def vector_bytes(dims: int, *, coded: bool) -> int:
    """Give the bytes of a vector, or of its code."""
    return code_bytes(dims) if coded else 4 * dims


class Corpus:
    """The items below one prefix.

    Args:
        rows: IndexRows or plain tuples like them, sorted by id; read a few at a time.
        dims: length of the vectors; 0: they are left out.
        coded: the rows have codes instead of vectors, so that similarities are approximate.
        rounded: vectors are kept rounded, so that similarities are nearly exact.
    """

    whole: Whole | None = None  # of which it is a part; None: all items are in it
    gone: NDArray[np.intp] | None = None  # items that are not there any more, to be left out
    _base: Corpus | None = None  # what it was extended from, and by which rows; None for what is gone
    _late: Mapping[int, _Row | None] = MappingProxyType({})
    _late_sorted: Sorted | None = None

    def __init__(self, rows: Iterable[_Row], dims: int, *, coded: bool = False, rounded: bool = False) -> None:
        self._take_in(slabs_of(rows, vector_bytes(dims, coded=coded)), dims, coded, rounded)

    @classmethod
    def of_slabs(cls, slabs: Iterable[Slab], dims: int, *, coded: bool = False, rounded: bool = False) -> Corpus:
        """Give the corpus of slabs, sorted by id, instead of rows; there is at least one."""
        corpus: Corpus = object.__new__(cls)
        corpus._take_in(slabs, dims, coded, rounded)
        return corpus

    def _take_in(self, slabs: Iterable[Slab], dims: int, coded: bool, rounded: bool) -> None:
        import numpy as np

        ids, lengths, terms, mark_lengths, marks, parts, data = zip(*slabs, strict=True)
        self.ids: NDArray[np.int64] = np.concatenate(ids)
        self.lengths: NDArray[np.int64] = np.concatenate(lengths)
        self.terms: NDArray[np.uint32] = np.concatenate(terms)
        self.owners: NDArray[np.int32] = np.repeat(np.arange(len(self.ids), dtype=np.int32), self.lengths)
        self.marks = Marks(np.concatenate(mark_lengths), np.concatenate(marks))
        if ((self.marks.lengths > 0) & (self.marks.lengths % 2 == 0)).any():
            raise UnreadableRecord(DAMAGED)  # a flag and pairs
        self.dims, self.coded, self.rounded = dims, coded, rounded
        self.vectors = vectors_of(data, dims, coded=coded, rounded=rounded)
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

    def changed(self, rows: Sequence[_Row], gone: Collection[int] = ()) -> Corpus:
        """Give the corpus with other rows in place of those of the same ids, new rows at their places, others gone.

        Takes a few copies of the arrays, not a look at every item. In a wide corpus what is new comes last, with no
        neighbours but each other, until it has become a share worth sorting in.
        """
        if not self.is_wide:
            return self._joined(rows, gone)
        base = self._base or self
        lost = [*base.ids[base._places(gone)].tolist(), *self._late.keys() & set(gone)]
        if not rows and not lost:
            return self
        late = {**self._late, **{row[0]: row for row in rows}, **dict.fromkeys(lost)}
        new = [row for _, row in sorted(late.items()) if row is not None]
        if len(late) * _LATE_SHARE > len(base):
            return base._joined(new, list(late))
        longer: Corpus = object.__new__(Corpus)
        longer._base, longer._late, longer.gone = base, late, base._places(late)
        longer._extend(base, Corpus(new, base.dims, coded=base.coded, rounded=base.rounded))
        return longer

    def _places(self, ids: Iterable[int]) -> NDArray[np.intp]:
        """Give the places of those of some ids that are here; all are in the order of ids."""
        import numpy as np

        wanted = np.array(sorted(ids), dtype=np.int64)
        at = np.minimum(np.searchsorted(self.ids, wanted), len(self) - 1)
        here: NDArray[np.intp] = at[self.ids[at] == wanted]
        return here

    def _extend(self, base: Corpus, new: Corpus) -> None:
        """Become the items of a wide corpus, and others behind them."""
        import numpy as np

        self.dims, self.coded, self.rounded = base.dims, base.coded, base.rounded
        self.ids = np.concatenate([base.ids, new.ids])
        self.lengths = np.concatenate([base.lengths, new.lengths])
        self.marks = Marks(
            np.concatenate([base.marks.lengths, new.marks.lengths]),
            np.concatenate([base.marks.numbers, new.marks.numbers]),
        )
        self._take_parts(np.concatenate([np.bincount(part.vector_owners, minlength=len(part)) for part in (base, new)]))
        every = [Piece(0, 0, len(base.vectors)), Piece(1, 0, len(new.vectors))]
        self.vectors = base.vectors.picked(every, new.vectors)
        self._known_entries, self._known = 0, {}
        self._keep_sorted(base._sorted)
        self._late_sorted = new._sorted._replace(owners=new._sorted.owners + np.int32(len(base)))
        self.__dict__["surroundings"] = extended(base.surroundings, new.ids >> SEQUENCE_BITS, new.marks)
        base._lie_in(self)

    def _lie_in(self, longer: Corpus) -> None:
        """Have the arrays of a corpus that goes on behind this one, so that they are in memory once."""
        self.ids, self.lengths = longer.ids[: len(self)], longer.lengths[: len(self)]
        self.marks = Marks(
            longer.marks.lengths[: len(self)], longer.marks.numbers[: len(self.marks.numbers)]
        )  # fmt: skip
        self.vector_owners = longer.vector_owners[: len(self.vector_owners)]
        self.vectors = longer.vectors.first(len(self.vectors))

    def _joined(self, rows: Sequence[_Row], gone: Collection[int] = ()) -> Corpus:
        import numpy as np

        new = Corpus(rows, self.dims, coded=self.coded, rounded=self.rounded)
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

        pieces = pieces_of(chosen, len(old))
        old_parts = np.bincount(old.vector_owners, minlength=len(old))
        new_parts = np.bincount(new.vector_owners, minlength=len(new))
        self.dims, self.coded, self.rounded = old.dims, old.coded, old.rounded
        self.ids = pick(pieces, old.ids, new.ids)
        self.lengths = pick(pieces, old.lengths, new.lengths)
        of_marks = ragged(pieces, old.marks.lengths, new.marks.lengths)
        self.marks = Marks(
            pick(pieces, old.marks.lengths, new.marks.lengths), pick(of_marks, old.marks.numbers, new.marks.numbers)
        )
        self._lookups, self._known_entries, self._known = 0, 0, {}
        self._take_parts(pick(pieces, old_parts, new_parts))
        self.vectors = old.vectors.picked(ragged(pieces, old_parts, new_parts), new.vectors)
        if old.is_wide or new.is_wide:
            self._keep_sorted(merge_terms(old._sorted, new._sorted, len(old), len(old) + len(new), chosen))
        else:
            self.terms = pick(ragged(pieces, old.lengths, new.lengths), old.terms, new.terms)
            self.owners = np.repeat(np.arange(len(chosen), dtype=np.int32), self.lengths)
            self._sort_if_wide()

    @cached_property
    def surroundings(self) -> Surroundings:
        """What the order of writing and the short fields tell; found when first asked for."""
        spaces = self.ids >> SEQUENCE_BITS
        return find_surroundings(spaces, self.marks, self.vectors.similarities, self.vector_owners, self.whole)

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
            found = of_term(self._sorted, term)
            if self._late_sorted is None:
                return found
            late = of_term(self._late_sorted, term)
            return Postings(np.concatenate([found.owners, late.owners]), np.concatenate([found.times, late.times]))
        hits = self.owners[np.flatnonzero(self.terms == np.uint32(term))]
        first, times = runs_of(hits)
        return Postings(hits[first].astype(np.intp), times)

    @cached_property
    def _sorted(self) -> Sorted:
        return sort_terms(self.terms, self.owners)

    def _sort_if_wide(self) -> None:
        self.is_wide = False
        if len(self) > _MOST_UNSORTED:
            self._keep_sorted(sort_terms(self.terms, self.owners))

    def _keep_sorted(self, given: Sorted) -> None:
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
            self.ids, self.lengths, self.vectors, self.vector_owners, self.terms, self.owners, *self.marks
        )  # fmt: skip
        return sum(a.nbytes for a in arrays) + 9 * int(self.lengths.sum()) + _BYTES_PER_ITEM * len(self.ids)
