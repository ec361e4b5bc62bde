"""What is indexed of some items, column by column: how it is read from rows, and how it is kept as a pack of bytes.

A pack has what searches read of items side by side, so that a search that begins with nothing reads few long values
instead of many short ones. It knows no database, and nothing of what terms, marks and vectors mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from clew.errors import UnreadableRecord
from clew.store.codes import code_bytes
from clew.store.comparing import round_off, rounded_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACK_BITS = 6  # a pack has the items of as many numbers in a row as these count
_ROWS_AT_ONCE = 1024  # few enough that their memory is used again for the next ones


class Slab(NamedTuple):
    """Some items as a corpus takes them in.

    Args:
        ids: of the items, sorted.
        lengths: how many terms each has.
        terms: 32-bit hashes, item by item.
        mark_lengths: how many 32-bit marks each has.
        marks: item by item.
        parts: how many vectors each has.
        vectors: their bytes, item by item; or parts of rounded ones (see comparing).
    """

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    terms: NDArray[np.uint32]
    mark_lengths: NDArray[np.int64]
    marks: NDArray[np.uint32]
    parts: NDArray[np.int64]
    vectors: bytes | tuple[bytes, ...]


def slabs_of(rows: Iterable[tuple[int, bytes, bytes, bytes]], size: int) -> Iterator[Slab]:
    """Read rows slab by slab, so that few are in memory at once; there is at least one slab.

    Args:
        size: bytes of a vector; 0: vectors are left out.
    """
    rest = iter(rows)
    some = list(islice(rest, _ROWS_AT_ONCE))
    while True:
        ids, words, marks, vectors = tuple(zip(*some, strict=True)) or ((), (), (), ())
        yield _slab(ids, words, marks, vectors, size)
        if not (some := list(islice(rest, _ROWS_AT_ONCE))):
            return


def _slab(
    ids: Sequence[int], words: Sequence[bytes], marks: Sequence[bytes], vectors: Sequence[bytes], size: int
) -> Slab:
    import numpy as np

    parts, data = _fitting(vectors, size)
    return Slab(
        np.array(ids, dtype=np.int64), _counts(words), _numbers(words), _counts(marks), _numbers(marks), parts, data
    )  # fmt: skip


class Pack(NamedTuple):
    """What is kept of the index of some items: as in a Slab, and of each its embedder's number and its codes' size.

    Args:
        models: whose vectors each has; 0: none.
        code_sizes: bytes of each item's codes.
        codes: item by item.
        rounded: the vectors, item by item; none where the pack is not one that was kept.
    """

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    terms: NDArray[np.uint32]
    mark_lengths: NDArray[np.int64]
    marks: NDArray[np.uint32]
    models: NDArray[np.int64]
    code_sizes: NDArray[np.int64]
    codes: bytes
    rounded: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, rows: Sequence[tuple[int, bytes, bytes, int | None, bytes | None]]) -> Pack:
        """Give the pack of rows of id, words, marks, model and codes."""
        import numpy as np

        ids, words, marks, models, codes = tuple(zip(*rows, strict=True)) or ((), (), (), (), ())
        some = [one or b"" for one in codes]
        return cls(
            np.array(ids, dtype=np.int64), _counts(words), _numbers(words), _counts(marks), _numbers(marks),
            np.array([model or 0 for model in models], dtype=np.int64), _sizes(some), b"".join(some),
        )  # fmt: skip

    def kept(self, vectors: Sequence[bytes | None]) -> tuple[bytes, bytes, bytes, bytes, bytes]:
        """Give the pack as it is kept: numbers of each item (see _HEAD), terms, marks, codes, rounded vectors."""
        import numpy as np

        low = self.ids & (2**PACK_BITS - 1)
        heads = np.stack([low, self.lengths, self.mark_lengths, self.models, self.code_sizes], axis=1)
        rounded = round_off(b"".join(filter(None, vectors)))
        return heads.astype("<u4").tobytes(), self.terms.tobytes(), self.marks.tobytes(), self.codes, rounded

    @classmethod
    def joined(cls, packs: Sequence[tuple[int, bytes, bytes, bytes, bytes, bytes]]) -> Pack:
        """Give packs that were kept as one, each after its number: the ids of its items without the last PACK_BITS.

        Raises:
            UnreadableRecord: they are damaged.
        """
        import numpy as np

        numbers, some_heads, terms, marks, codes, rounded = zip(*packs, strict=True)
        heads = _numbers(some_heads)
        items = _counts(some_heads) // _HEAD
        if len(heads) != _HEAD * items.sum():
            raise UnreadableRecord(DAMAGED)
        low, lengths, mark_lengths, models, code_sizes = heads.reshape(-1, _HEAD).T.astype(np.int64)
        ids = np.repeat(np.array(numbers, dtype=np.int64) << PACK_BITS, items) | low
        pack = cls(
            ids, lengths, _numbers(terms), mark_lengths, _numbers(marks), models, code_sizes, b"".join(codes),
            rounded,
        )  # fmt: skip
        sizes = (len(pack.terms), len(pack.marks), len(pack.codes))
        if sizes != (lengths.sum(), mark_lengths.sum(), code_sizes.sum()):
            raise UnreadableRecord(DAMAGED)
        return pack

    def with_codes(self, model: int | None, size: int) -> Slab:
        """Give the slab with the codes of one embedder, each of a size in bytes."""
        import numpy as np

        fits = (self.models == (model or -1)) & (self.code_sizes % (size or 1) == 0) & (size > 0)
        codes = self.codes if fits.all() else b"".join(self._codes_of(np.flatnonzero(fits).tolist()))
        return self._slab(np.where(fits, self.code_sizes // (size or 1), 0), codes)

    def is_all_of(self, model: int | None) -> bool:
        """Say whether every item has vectors of one embedder."""
        return bool((self.models == (model or -1)).all())

    def with_rounded(self, model: int | None, dims: int) -> Slab | None:
        """Give the slab with rounded vectors; None where there are none, or not of one embedder and length alone."""
        import numpy as np

        parts, rest = np.divmod(self.code_sizes, code_bytes(dims))
        if not self.is_all_of(model) or rest.any() or rounded_size(self.rounded) != int(parts.sum()) * dims:
            return None
        return self._slab(parts, self.rounded)

    def with_vectors(self, size: int, vectors: Sequence[bytes]) -> Slab:
        """Give the slab with the vectors of each item, those that are of a size in bytes."""
        return self._slab(*_fitting(vectors, size))

    def _codes_of(self, places: Sequence[int]) -> Iterator[bytes]:
        ends = self.code_sizes.cumsum().tolist()
        return (self.codes[ends[at] - int(self.code_sizes[at]) : ends[at]] for at in places)

    def _slab(self, parts: NDArray[np.int64], vectors: bytes | tuple[bytes, ...]) -> Slab:
        return Slab(self.ids, self.lengths, self.terms, self.mark_lengths, self.marks, parts, vectors)


_HEAD = 5  # numbers of each item: the last bits of its id, its terms, its marks, its model, bytes of its codes
DAMAGED = "what is indexed of some memories is damaged: store.reindex() makes it anew"


def _fitting(vectors: Sequence[bytes], size: int) -> tuple[NDArray[np.int64], bytes]:
    """Give how many vectors each item has, and all of them.

    Those of another length are left by an embedder of the same name; they count as missing.
    """
    sizes = _sizes(vectors)
    if not size:
        return sizes * 0, b""
    if (sizes % size).any():
        vectors = [some if len(some) % size == 0 else b"" for some in vectors]
        sizes = _sizes(vectors)
    return sizes // size, b"".join(vectors)


def _sizes(values: Sequence[bytes]) -> NDArray[np.int64]:
    import numpy as np

    return np.fromiter(map(len, values), np.int64, len(values))


def _counts(values: Sequence[bytes]) -> NDArray[np.int64]:
    """Give how many 32-bit numbers each value has."""
    sizes = _sizes(values)
    if (sizes % 4).any():
        raise UnreadableRecord(DAMAGED)
    return sizes // 4


def _numbers(values: Sequence[bytes]) -> NDArray[np.uint32]:
    import numpy as np

    data = b"".join(values)
    if len(data) % 4:
        raise UnreadableRecord(DAMAGED)
    return np.frombuffer(data, "<u4")
