"""Which items have which terms: sorted by term, so that those of one are side by side. Pure arithmetic on arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Sorted(NamedTuple):
    """Every term's items, sorted by term, then by item."""

    terms: NDArray[np.uint32]
    owners: NDArray[np.int32]
    times: NDArray[np.uint8]


class Postings(NamedTuple):
    """Which items have a term, sorted, and how many times each."""

    owners: NDArray[np.intp]
    times: NDArray[np.uint8]


def runs_of(values: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Give where each run of equal values begins and how long it is; 255 stands for all that are longer."""
    import numpy as np

    begins = np.ones(len(values) + 1, bool)
    np.not_equal(values[1:], values[:-1], out=begins[1:-1])
    edges = np.flatnonzero(begins)
    return edges[:-1], np.minimum(edges[1:] - edges[:-1], 255).astype(np.uint8)


def sort_terms(terms: NDArray[np.uint32], owners: NDArray[np.int32]) -> Sorted:
    """Sort terms and the items that have them, each pair once."""
    import numpy as np

    both = np.sort(terms.astype(np.uint64) << np.uint64(32) | owners.astype(np.uint64))
    first, times = runs_of(both)
    both = both[first]
    return Sorted((both >> np.uint64(32)).astype(np.uint32), (both & np.uint64(2**32 - 1)).astype(np.int32), times)


def of_term(given: Sorted, term: int) -> Postings:
    """Find the items of a term."""
    import numpy as np

    start, end = (np.searchsorted(given.terms, np.uint32(term), side) for side in ("left", "right"))
    return Postings(given.owners[start:end].astype(np.intp), given.times[start:end])


def merge_terms(old: Sorted, new: Sorted, old_size: int, size: int, chosen: NDArray[np.intp]) -> Sorted:
    """Merge the terms of two corpora, of whose items, numbered through, some are chosen."""
    import numpy as np

    place = np.full(size, -1, dtype=np.int32)
    place[chosen] = np.arange(len(chosen), dtype=np.int32)
    owners = place[: max(1, old_size)][old.owners]
    stays = owners >= 0
    left = Sorted(old.terms[stays], owners[stays], old.times[stays])
    right = new._replace(owners=place[old_size:][new.owners])
    keys = [part.terms.astype(np.uint64) << np.uint64(32) | part.owners.astype(np.uint64) for part in (left, right)]
    at = np.searchsorted(keys[0], keys[1])
    return Sorted(
        np.insert(left.terms, at, right.terms),
        np.insert(left.owners, at, right.owners),
        np.insert(left.times, at, right.times),
    )
