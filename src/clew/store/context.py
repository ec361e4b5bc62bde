"""What surrounds an item: neighbours in the order of writing, its group, its labels. Pure arithmetic on arrays.

Nothing is read from the names of fields. A field whose equal values lie side by side (a session, a day) groups items;
one whose few values come and go (a speaker, a category) labels them. Whether the order of writing means anything is
measured: in a conversation neighbours are far more alike than items far apart, in shuffled notes they are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Seen on conversations: t of 15 to 30 in the order of writing, below 1.5 in any other.
_LEAST_T = 4.0
_MOST_PAIRS = 512
_MOST_FIELDS = 8
_WORDS_REACH = (0.7, 0.4, 0.2)
_MEANING_REACH = (0.5, 0.25)
_GROUP_REACH = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What surrounds the items of a corpus.

    Args:
        ordered: whether neighbours are alike.
        stretches: for each item the number of its stretch: same namespace, same group, side by side.
        grouped: whether stretches come from a field that groups, not from namespaces alone.
        labels: for each field that labels, each item's value hash, 0 where it has none.
        asks: which items ask something.
    """

    ordered: bool
    stretches: NDArray[np.int64]
    grouped: bool
    labels: tuple[NDArray[np.uint32], ...]
    asks: NDArray[np.bool_]


def find_surroundings(
    spaces: NDArray[np.int64], marks: Sequence[bytes], vectors: NDArray[np.float32], owners: NDArray[np.int64]
) -> Surroundings:
    """Find what surrounds each item.

    Args:
        spaces: number of each item's namespace.
        marks: each item's marks.
        vectors: of length 1.
        owners: whose each vector is.
    """
    import numpy as np

    edges = spaces[1:] != spaces[:-1]
    grouped, labels = False, []
    for values in _fields(marks):
        changes = (values[1:] != values[:-1]) | (spaces[1:] != spaces[:-1])
        kinds = len(np.unique(values))
        pairs = len(np.unique(spaces * 2**32 + values))
        if kinds < 2 or kinds > len(values) // 2:
            continue
        if changes.sum() + 1 <= 1.1 * pairs:
            edges, grouped = edges | changes, True
        else:
            labels.append(values)
    stretches = np.concatenate([[0], np.cumsum(edges)])[: len(spaces)]
    asks = np.array([bool(m[:1] and m[0] & 1) for m in marks], dtype=bool)
    ordered = _neighbours_are_alike(spaces, vectors, owners)
    return Surroundings(ordered=ordered, stretches=stretches, grouped=grouped, labels=tuple(labels), asks=asks)


def reach(scores: NDArray[np.float32], around: Surroundings) -> NDArray[np.float32]:
    """Let each term found in an item count, weaker, for those around it: the strongest of its sources counts once.

    Args:
        scores: per term and item, >= 0.
    """
    import numpy as np

    reached = scores.copy()
    for distance, share in enumerate(_WORDS_REACH, 1):
        same = (around.stretches[distance:] == around.stretches[:-distance]) * np.float32(share)
        np.maximum(reached[:, distance:], scores[:, :-distance] * same, out=reached[:, distance:])
        np.maximum(reached[:, :-distance], scores[:, distance:] * same, out=reached[:, :-distance])
    if around.grouped:
        starts = np.flatnonzero(np.diff(around.stretches, prepend=-1))
        best = np.maximum.reduceat(scores, starts, axis=1)[:, around.stretches]
        np.maximum(reached, best * np.float32(_GROUP_REACH), out=reached)
    return reached


def smooth(scores: NDArray[np.float64], around: Surroundings) -> NDArray[np.float64]:
    """Add to each item's score a share of its neighbours'."""
    smoothed = scores.copy()
    for distance, share in enumerate(_MEANING_REACH, 1):
        same = (around.stretches[distance:] == around.stretches[:-distance]) * share
        smoothed[distance:] += scores[:-distance] * same
        smoothed[:-distance] += scores[distance:] * same
    return smoothed


def named(names: frozenset[int], around: Surroundings) -> NDArray[np.float64]:
    """Give for each item how many of its labels the query names; a query that names all values names none."""
    import numpy as np

    count = np.zeros(len(around.stretches))
    wanted = np.fromiter(names, dtype=np.uint32, count=len(names))
    for values in around.labels:
        hit = np.isin(values, wanted)
        if not hit.all():
            count += hit
    return count


def _fields(marks: Sequence[bytes]) -> list[NDArray[np.uint32]]:
    """Give the values of each field that at least half of the items have, 0 where one has not."""
    import numpy as np

    sizes = np.array([len(m) // 4 for m in marks])
    flat = np.frombuffer(b"".join(marks), dtype="<u4")
    inside = np.ones(len(flat), bool)
    inside[(np.cumsum(sizes) - sizes)[sizes > 0]] = False  # the flags
    pairs = flat[inside].reshape(-1, 2)
    owners = np.repeat(np.arange(len(marks)), np.maximum(sizes - 1, 0) // 2)
    names, counts = np.unique(pairs[:, 0], return_counts=True)
    fields = []
    for name in names[np.argsort(-counts, kind="stable")][:_MOST_FIELDS]:
        rows = pairs[:, 0] == name
        if 2 * np.count_nonzero(rows) < len(marks):
            break
        values = np.zeros(len(marks), dtype=np.uint32)
        values[owners[rows]] = pairs[rows, 1]
        fields.append(values)
    return fields


def _neighbours_are_alike(spaces: NDArray[np.int64], vectors: NDArray[np.float32], owners: NDArray[np.int64]) -> bool:
    """Compare items side by side with items far apart in the same namespace, by Welch's t on their similarities."""
    import numpy as np

    _, first = np.unique(owners, return_index=True)
    homes = spaces[owners[first]] if len(first) else spaces[:0]
    near = np.flatnonzero(homes[1:] == homes[:-1])
    if len(near) < 8:
        return False
    at = near[np.linspace(0, len(near) - 1, min(_MOST_PAIRS, len(near))).astype(int)]
    start, end = np.searchsorted(homes, homes[at], "left"), np.searchsorted(homes, homes[at], "right")
    apart = [start + (at - start + (end - start) * quarter // 4) % (end - start) for quarter in (1, 2, 3)]
    side_by_side = _similarities(vectors, first[at], first[at + 1])
    far = np.concatenate([_similarities(vectors, first[at], first[there]) for there in apart])
    spread = np.sqrt(side_by_side.var() / len(side_by_side) + far.var() / len(far))
    return bool(side_by_side.mean() - far.mean() > _LEAST_T * spread)


def _similarities(
    vectors: NDArray[np.float32], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float32]:
    import numpy as np

    similarities: NDArray[np.float32] = np.einsum("ij,ij->i", vectors[left], vectors[right])
    return similarities
