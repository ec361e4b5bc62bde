"""A part of the items below a prefix that is ranked for the whole: what is promising, what surrounds it, and a sample.

The promising items stand for themselves, the others for all that was not fetched. So means, spreads and weights of
words come out as those of the whole. It knows no database and no scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RUNS, _RUN = 32, 32  # enough to see what follows what; an idf estimated from a thousand items is off by a tenth
_AROUND = 4  # one more than context reaches, for items that were deleted between


class Whole(Struct, frozen=True, kw_only=True):
    """What is known of all items below a prefix, and how those of a part stand for them.

    Args:
        size: how many items there are.
        having: how many of them have a term, of the terms that were counted.
        runs: for each item of the part the number of its run: between items of one run none is left out.
        drawn: which items of the part are of the sample, chosen as well or not.
        weights: how many items each item of the part stands for.
    """

    size: int
    having: Mapping[int, int]
    runs: NDArray[np.int64]
    drawn: NDArray[np.bool_]
    weights: NDArray[np.float64]


def drawn_ranges(spaces: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Give ranges of ids, first and last, that lie evenly over namespaces.

    Args:
        spaces: of each namespace the first id that it may have, and how many items were ever written there.
    """
    import numpy as np

    firsts, sizes = np.array(sorted(spaces), dtype=np.int64).T
    ends = np.cumsum(sizes)
    places = np.arange(_RUNS) * int(ends[-1]) // _RUNS
    home = np.searchsorted(ends, places, "right")
    first = firsts[home] + places - (ends - sizes)[home]
    return merged(np.stack([first, first + _RUN - 1], axis=1))


def ranges_around(ids: Sequence[int]) -> NDArray[np.int64]:
    """Give the ranges of items and what surrounds them."""
    import numpy as np

    middle = np.array(ids, dtype=np.int64)
    return merged(np.stack([middle - _AROUND, middle + _AROUND], axis=1))


def merged(ranges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give ranges, first and last, sorted, as few as cover the same ids."""
    import numpy as np

    if not len(ranges):
        return ranges
    first, last = ranges[np.argsort(ranges[:, 0])].T
    reached = np.maximum.accumulate(last)
    begins = np.concatenate([[True], first[1:] > reached[:-1] + 1])
    return np.stack([first[begins], reached[np.append(np.flatnonzero(begins)[1:], len(first)) - 1]], axis=1)


def stand_for(
    ids: NDArray[np.int64], drawn: NDArray[np.int64], chosen: NDArray[np.int64], size: int, having: Mapping[int, int]
) -> Whole:
    """Say how the items within some ranges stand for all.

    Args:
        ids: the items, sorted: all there are within the ranges.
        drawn, chosen: ranges.
        size, having: see Whole.
    """
    import numpy as np

    every = merged(np.concatenate([drawn, chosen]))
    stands_for_itself = _within(ids, chosen)
    others = int(np.count_nonzero(~stands_for_itself))
    share = max(1.0, (size - len(ids) + others) / max(1, others))
    return Whole(
        size=size,
        having=having,
        runs=np.searchsorted(every[:, 0], ids, "right"),
        drawn=_within(ids, drawn),
        weights=np.where(stands_for_itself, 1.0, share),
    )


def _within(ids: NDArray[np.int64], ranges: NDArray[np.int64]) -> NDArray[np.bool_]:
    import numpy as np

    if not len(ranges):
        return np.zeros(len(ids), bool)
    at = np.searchsorted(ranges[:, 0], ids, "right") - 1
    inside: NDArray[np.bool_] = (at >= 0) & (ids <= ranges[at, 1])
    return inside
