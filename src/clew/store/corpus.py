"""The searchable side of the items below one prefix: terms, vectors and marks as arrays, in the order of writing.

Built by an engine from what it keeps, cached by it while nothing changes, read by `ranking`. It knows no database
and no scores.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from clew.store.context import Surroundings, find_surroundings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEQUENCE_BITS = 32  # an item's id is its namespace's number, shifted by these, and its place in the order of writing


class IndexRow(NamedTuple):
    """What is indexed of one item.

    Args:
        id: the engine's name for the item; see SEQUENCE_BITS.
        words: 32-bit hashes of its terms, with repetitions.
        marks: see clew.store.marks.
        vectors: float32 bytes of its vectors of one model, one after another; empty: none.
    """

    id: int
    words: bytes
    marks: bytes
    vectors: bytes


class Corpus:
    """The items below one prefix.

    Args:
        rows: sorted by id.
        dims: length of the vectors; rows with vectors of another length count as without.
    """

    def __init__(self, rows: Iterable[IndexRow], dims: int) -> None:
        import numpy as np

        ids, words, marks, vectors = tuple(zip(*rows, strict=True)) or ((), (), (), ())
        size = dims * 4
        parts = [len(v) // size if size and v and len(v) % size == 0 else 0 for v in vectors]
        data = b"".join(v for v, n in zip(vectors, parts, strict=True) if n)
        self.ids: NDArray[np.int64] = np.array(ids, dtype=np.int64)
        self.lengths: NDArray[np.int64] = np.array([len(w) for w in words], dtype=np.int64) // 4
        self.terms: NDArray[np.uint32] = np.frombuffer(b"".join(words), dtype="<u4")
        self.owners: NDArray[np.int32] = np.repeat(np.arange(len(ids), dtype=np.int32), self.lengths)
        self.vectors: NDArray[np.float32] = _unit(np.frombuffer(data, dtype="<f4").reshape(-1, dims or 1))
        self.vector_owners: NDArray[np.int64] = np.repeat(np.arange(len(ids)), parts)
        self.one_vector_each = bool(parts) and min(parts) == max(parts) == 1
        self._marks: tuple[bytes, ...] = marks

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def surroundings(self) -> Surroundings:
        """What the order of writing and the short fields tell; found when first asked for."""
        return find_surroundings(self.ids >> SEQUENCE_BITS, self._marks, self.vectors, self.vector_owners)

    @property
    def size_bytes(self) -> int:
        """How much memory the arrays take."""
        arrays = (self.ids, self.terms, self.owners, self.lengths, self.vectors, self.vector_owners)
        return sum(array.nbytes for array in arrays) + 150 * len(self.ids)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the vectors at length 1; zero vectors stay zero."""
    import numpy as np

    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return np.divide(vectors, np.where(lengths > 0, lengths, 1), dtype=np.float32)
