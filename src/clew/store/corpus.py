"""The searchable side of the items below one prefix: their terms and vectors as arrays, in the order of writing.

Built by an engine from what it keeps, cached by it while nothing changes, read by `ranking`. It knows no database
and no scores.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class IndexRow(NamedTuple):
    """What is indexed of one item.

    Args:
        id: the engine's name for the item; grows in the order of writing within a namespace.
        words: 32-bit hashes of its terms, with repetitions.
        vectors: float32 bytes of its vectors of one model, one after another; empty: none.
    """

    id: int
    words: bytes
    vectors: bytes


class Corpus:
    """The items below one prefix.

    Args:
        rows: in the order of writing.
        dims: length of the vectors; rows with vectors of another length count as without.
    """

    def __init__(self, rows: Iterable[IndexRow], dims: int) -> None:
        import numpy as np

        rows = list(rows)
        size = dims * 4
        parts = [len(row.vectors) // size if size and len(row.vectors) % size == 0 else 0 for row in rows]
        data = b"".join(row.vectors for row, n in zip(rows, parts, strict=True) if n)
        counts = np.array([len(row.words) // 4 for row in rows], dtype=np.int64)
        self.dims = dims
        self.ids: NDArray[np.int64] = np.array([row.id for row in rows], dtype=np.int64)
        self.terms: NDArray[np.uint32] = np.frombuffer(b"".join(row.words for row in rows), dtype="<u4")
        self.ends: NDArray[np.int64] = np.cumsum(counts)
        self.lengths: NDArray[np.int64] = counts
        self.vectors: NDArray[np.float32] = _unit(np.frombuffer(data, dtype="<f4").reshape(-1, dims or 1))
        self.owners: NDArray[np.int64] = np.repeat(np.arange(len(rows)), parts)
        self.one_vector_each = bool(len(rows)) and min(parts) == max(parts) == 1

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size_bytes(self) -> int:
        """How much memory the arrays take."""
        arrays = (self.ids, self.terms, self.ends, self.lengths, self.vectors, self.owners)
        return sum(array.nbytes for array in arrays)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the vectors at length 1; zero vectors stay zero."""
    import numpy as np

    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return np.divide(vectors, np.where(lengths > 0, lengths, 1), dtype=np.float32)
