"""Takes items out of two corpora: in as few pieces as there are, for each of their arrays. Pure arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T", bound="np.generic")


class Piece(NamedTuple):
    """Items that follow one another in one of two corpora: the old one, 0, or the new one, 1."""

    source: int
    start: int
    end: int


def pieces_of(chosen: NDArray[np.intp], old_size: int) -> list[Piece]:
    """Cut the chosen items of two corpora, numbered through, into as few pieces as there are."""
    import numpy as np

    begins = np.ones(len(chosen) + 1, bool)
    np.not_equal(chosen[1:], chosen[:-1] + 1, out=begins[1:-1])
    begins[:-1] |= chosen == old_size
    edges = np.flatnonzero(begins)
    sizes = edges[1:] - edges[:-1]
    firsts = chosen[edges[:-1]]
    return [
        Piece(0, first, first + size) if first < old_size else Piece(1, first - old_size, first - old_size + size)
        for first, size in zip(firsts.tolist(), sizes.tolist(), strict=True)
    ]


def ragged(pieces: list[Piece], old_sizes: NDArray[np.int64], new_sizes: NDArray[np.int64]) -> list[Piece]:
    """Give the pieces of arrays in which each item has a number of entries."""
    import numpy as np

    ends = [np.concatenate([[0], np.cumsum(sizes)]) for sizes in (old_sizes, new_sizes)]
    return [Piece(source, int(ends[source][start]), int(ends[source][end])) for source, start, end in pieces]


def pick(pieces: list[Piece], old: NDArray[T], new: NDArray[T], axis: int = 0) -> NDArray[T]:
    """Give the entries of some pieces of two arrays."""
    import numpy as np

    # The empty end gives dtype and shape where there is no piece.
    some = [
        (old, new)[source][(..., slice(start, end)) if axis else slice(start, end)] for source, start, end in pieces
    ]
    return np.concatenate([*some, (old[..., :0] if axis else old[:0])], axis=axis)
