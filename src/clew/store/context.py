"""What surrounds an item: neighbours in the order of writing, its group, its labels. Pure arithmetic on arrays.

Nothing is read from the names of fields. A field whose equal values lie side by side (a session, a day) groups items;
one whose few values come and go (a speaker, a category) labels them. Whether the order of writing means anything is
measured: in a conversation neighbours are far more alike than items far apart, in shuffled notes they are not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from clew.store.parts import Whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Similarities = Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[np.float32]]

# Seen on conversations: t of 15 to 30 in the order of writing, below 1.5 in any other.
_LEAST_T = 4.0
_LEAST_PAIRS, _MOST_PAIRS = 8, 256
_MOST_FIELDS = 8
_WORDS_REACH = (0.7, 0.4, 0.2)
_MEANING_REACH = (0.5, 0.25)
_GROUP_REACH = 0.15


class Marks(NamedTuple):
    """The marks of items; see clew.store.marks.

    Args:
        lengths: how many 32-bit numbers each item has.
        numbers: item by item.
    """

    lengths: NDArray[np.int64]
    numbers: NDArray[np.uint32]


class Surroundings(Struct, frozen=True, kw_only=True):
    """What surrounds the items of a corpus.

    Args:
        ordered: whether neighbours are alike.
        stretches: for each item the number of its stretch: same namespace, same group, side by side.
        starts: the first item of each stretch, and the number of items.
        grouped: whether stretches come from a field that groups, not from namespaces alone.
        labels: for each field that labels, which items have each value, by the value's hash.
        asks: the items that ask something.
    """

    ordered: bool
    stretches: NDArray[np.intp]
    starts: NDArray[np.intp]
    grouped: bool
    labels: tuple[dict[int, NDArray[np.intp]], ...]
    asks: NDArray[np.intp]


def find_surroundings(
    spaces: NDArray[np.int64],
    marks: Marks,
    similarities: Similarities,
    owners: NDArray[np.int64],
    whole: Whole | None = None,
) -> Surroundings:
    """Find what surrounds each item.

    Args:
        spaces: number of each item's namespace.
        marks: each item's marks.
        similarities: gives the cosine similarities of vectors with each row of others.
        owners: whose each vector is.
        whole: what the items are a part of; None: they are all.
    """
    import numpy as np

    borders = edges = spaces[1:] != spaces[:-1]
    grouped, labels = False, []
    for values in _read(marks):
        changes = (values[1:] != values[:-1]) | borders
        kinds = len(np.unique(values))
        if not 2 <= kinds <= len(values) // 2:
            continue
        groups = len(np.unique(spaces * 2**32 + values)) if borders.any() else kinds
        if np.count_nonzero(changes) + 1 <= 1.1 * groups:
            edges, grouped = edges | changes, True
        else:
            labels.append(_by_value(values))
    if whole is not None:
        edges = edges | (whole.runs[1:] != whole.runs[:-1])
    starts = np.concatenate([[0], np.flatnonzero(edges) + 1, [len(spaces)]])
    return Surroundings(
        ordered=_neighbours_are_alike(spaces, similarities, owners, whole),
        stretches=np.repeat(np.arange(len(starts) - 1), np.diff(starts)),
        starts=starts,
        grouped=grouped,
        labels=tuple(labels),
        asks=np.flatnonzero(_asks(marks)),
    )


def extended(around: Surroundings, spaces: NDArray[np.int64], marks: Marks) -> Surroundings:
    """Give what surrounds some items and others behind them, which have neighbours among themselves alone.

    Args:
        around: what surrounds the first ones; it also says which fields label.
        spaces, marks: of the others.
    """
    import numpy as np

    size, known = len(around.stretches), len(around.starts) - 1
    changes = np.concatenate([[True], spaces[1:] != spaces[:-1]])[: len(spaces)]
    _, held, owners = _pairs(marks)
    labels = []
    for by_value in around.labels:
        more = {value: size + owners[held == value] for value in by_value.keys() & set(held.tolist())}
        labels.append(by_value | {value: np.concatenate([by_value[value], items]) for value, items in more.items()})
    return Surroundings(
        ordered=around.ordered,
        stretches=np.concatenate([around.stretches, known - 1 + np.cumsum(changes)]),
        starts=np.concatenate([around.starts[:-1], size + np.flatnonzero(changes), [size + len(spaces)]]),
        grouped=around.grouped,
        labels=tuple(labels),
        asks=np.concatenate([around.asks, size + np.flatnonzero(_asks(marks))]),
    )


def reach(owners: NDArray[np.intp], strength: NDArray[np.float32], around: Surroundings) -> NDArray[np.float32]:
    """Let a term found in some items count, weaker, for those around them: the strongest of its sources counts once.

    Args:
        owners: the items that have the term.
        strength: how strongly each has it, >= 0.

    Returns:
        per item of the corpus, how strongly the term reaches it.
    """
    import numpy as np

    size, homes = len(around.stretches), around.stretches[owners]
    if around.grouped:
        best = np.zeros(len(around.starts) - 1, dtype=np.float32)
        np.maximum.at(best, homes, strength * np.float32(_GROUP_REACH))
        reached = best[around.stretches]
    else:
        reached = np.zeros(size, dtype=np.float32)
    # Where a step leads out of the stretch, the source itself gets what is less than it has.
    first, last = around.starts[homes], around.starts[homes + 1] - 1
    there = owners + _steps()[0]
    np.copyto(there, owners, where=(there < first) | (there > last))
    np.maximum.at(reached, there.ravel(), (strength * _steps()[1]).ravel())
    return reached


@cache
def _steps() -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Give each step to a neighbour, and to the item itself, and the share of a term's strength that reaches there."""
    import numpy as np

    shares = {0: 1.0} | {side * step: share for step, share in enumerate(_WORDS_REACH, 1) for side in (-1, 1)}
    return np.array(list(shares), dtype=np.intp)[:, None], np.array(list(shares.values()), dtype=np.float32)[:, None]


def smooth(scores: NDArray[np.float32], around: Surroundings) -> NDArray[np.float32]:
    """Add to each item's score a share of its neighbours'."""
    import numpy as np

    smoothed = scores.copy()
    for distance, share in enumerate(_MEANING_REACH, 1):
        same = (around.stretches[distance:] == around.stretches[:-distance]) * np.float32(share)
        smoothed[distance:] += scores[:-distance] * same
        smoothed[:-distance] += scores[distance:] * same
    return smoothed


def named(names: frozenset[int], around: Surroundings) -> list[NDArray[np.intp]]:
    """Give the items of each label that the query names; a query that names all of a field's values names none."""
    chosen: list[NDArray[np.intp]] = []
    for by_value in around.labels:
        hits = by_value.keys() & names
        if len(hits) < len(by_value):
            chosen.extend(by_value[value] for value in hits)
    return chosen


def _by_value(values: NDArray[np.uint32]) -> dict[int, NDArray[np.intp]]:
    import numpy as np

    order = np.argsort(values, kind="stable")
    kinds, first = np.unique(values[order], return_index=True)
    return dict(zip(kinds.tolist(), np.split(order, first[1:]), strict=True))


def _asks(marks: Marks) -> NDArray[np.bool_]:
    """Give which items ask."""
    import numpy as np

    sizes, flat = marks
    asks = np.zeros(len(sizes), bool)
    asks[sizes > 0] = flat[(np.cumsum(sizes) - sizes)[sizes > 0]] & 1
    return asks


def _pairs(marks: Marks) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.intp]]:
    """Give the hashes of the name and of the value of every short field, and whose it is."""
    import numpy as np

    sizes, flat = marks
    is_pair = np.ones(len(flat), bool)
    is_pair[(np.cumsum(sizes) - sizes)[sizes > 0]] = False
    named, held = np.ascontiguousarray(flat[is_pair].reshape(-1, 2).T)
    return named, held, np.repeat(np.arange(len(sizes)), np.maximum(sizes - 1, 0) // 2)


def _read(marks: Marks) -> list[NDArray[np.uint32]]:
    """Give the values of each field that at least half of the items have, 0 where one has not."""
    import numpy as np

    sizes, (named, held, owners) = marks.lengths, _pairs(marks)
    if 2 * len(named) < len(sizes):
        return []
    names, counts = np.unique(named, return_counts=True)
    fields = []
    for name in names[np.argsort(-counts, kind="stable")][:_MOST_FIELDS]:
        rows = np.flatnonzero(named == name)
        if 2 * len(rows) < len(sizes):
            break
        values = np.zeros(len(sizes), dtype=np.uint32)
        values[owners[rows]] = held[rows]
        fields.append(values)
    return fields


def _neighbours_are_alike(
    spaces: NDArray[np.int64], similarities: Similarities, owners: NDArray[np.int64], whole: Whole | None
) -> bool:
    """Compare items side by side with items far apart in the same namespace, by Welch's t on their similarities.

    Of a part, only those that were drawn: what was chosen is alike because it answers the query.
    """
    import numpy as np

    first = np.concatenate([owners[:1] * 0, np.flatnonzero(owners[1:] != owners[:-1]) + 1])
    first = first if whole is None else first[whole.drawn[owners[first]]]
    homes = spaces[owners[first]]
    runs = homes if whole is None else whole.runs[owners[first]]
    near = np.flatnonzero((homes[1:] == homes[:-1]) & (runs[1:] == runs[:-1]))
    if len(near) < _LEAST_PAIRS:
        return False
    chosen = min(_MOST_PAIRS, len(near))
    at = near[np.arange(chosen) * (len(near) - 1) // (chosen - 1)]
    start, end = np.searchsorted(homes, homes[at], "left"), np.searchsorted(homes, homes[at], "right")
    quarters = np.arange(1, 4)[:, None]
    far_off = start + (at - start + (end - start) * quarters // 4) % (end - start)
    side_by_side, *far_apart = similarities(first[at], first[np.concatenate([[at + 1], far_off])])
    near_mean, near_variance = _mean_and_variance(side_by_side)
    far_mean, far_variance = _mean_and_variance(np.concatenate(far_apart))
    spread = (near_variance / chosen + far_variance / (3 * chosen)) ** 0.5
    return bool(near_mean - far_mean > _LEAST_T * spread)


def _mean_and_variance(values: NDArray[np.float32]) -> tuple[float, float]:
    import numpy as np

    mean = float(np.add.reduce(values, dtype=np.float64)) / len(values)
    apart = values - np.float32(mean)
    return mean, float(apart.dot(apart)) / len(values)
