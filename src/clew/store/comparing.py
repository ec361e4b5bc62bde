"""Vectors in the forms in which searches compare them: as they are, rounded to 8 bits a component, or coded in one.

Each form takes a quarter of the memory of the one before, or less, and is less exact: what a rounded or coded one finds
is scored again by the vectors themselves (see ranking). Pure arithmetic on arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from clew.store.codes import code_bytes, code_of, ones
from clew.store.picking import Piece, pick

if TYPE_CHECKING:
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

_SCALE_BYTES = 4
_MOST = 127
_AT_ONCE = 256  # vectors: so few stay near the processor while they are unpacked and compared


class Comparable(Protocol):
    """The vectors of some items, all of one length, one after another."""

    @property
    def nbytes(self) -> int:
        """How much memory they take."""
        ...

    def __len__(self) -> int: ...

    def similarities_to(self, query: bytes) -> NDArray[np.float32]:
        """Give each vector's cosine similarity with a query's, float32."""
        ...

    def similarities(self, left: NDArray[np.intp], right: NDArray[np.intp]) -> NDArray[np.float32]:
        """Give the cosine similarities of some vectors with those of each row of others."""
        ...

    def picked(self, pieces: list[Piece], new: Self) -> Self:
        """Give some of these and of others in the same form."""
        ...

    def first(self, count: int) -> Self:
        """Give the first ones, without a copy."""
        ...


def vectors_of(data: Sequence[bytes | tuple[bytes, ...]], dims: int, *, coded: bool, rounded: bool) -> Comparable:
    """Give vectors in a form.

    Args:
        data: their bytes: codes if they are to be coded, else float32, or parts of rounded ones.
        dims: their length.
        coded, rounded: the form; neither: as they are.
    """
    import numpy as np

    if rounded:
        return Rounded.of([p for some in data for p in (some if isinstance(some, tuple) else (round_off(some),))], dims)
    joined = b"".join(some for some in data if isinstance(some, bytes))
    if not coded:
        return Exact(np.frombuffer(joined, "<f4").reshape(-1, dims or 1))
    words = np.frombuffer(joined, "<u8").reshape(-1, (code_bytes(dims) // 8) or 1)
    return Coded(np.ascontiguousarray(words.T), dims)


class Exact:
    """Vectors as they are.

    Args:
        rows: one for each, of length 1.
    """

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self._rows = rows

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes

    def __len__(self) -> int:
        return len(self._rows)

    def similarities_to(self, query: bytes) -> NDArray[np.float32]:
        return self._rows @ _direction(query)

    def similarities(self, left: NDArray[np.intp], right: NDArray[np.intp]) -> NDArray[np.float32]:
        return _products(self._rows[left], self._rows[right])

    def picked(self, pieces: list[Piece], new: Exact) -> Exact:
        return Exact(pick(pieces, self._rows, new._rows))

    def first(self, count: int) -> Exact:
        return Exact(self._rows[:count])


class Rounded:
    """Vectors with 8 bits for each component: similarities move by less than a hundredth.

    Args:
        rows: one for each.
        scales: what the components of each row are to be multiplied with.
    """

    def __init__(self, rows: NDArray[np.int8], scales: NDArray[np.float32]) -> None:
        self._rows, self._scales = rows, scales

    @classmethod
    def of(cls, parts: Sequence[bytes], dims: int) -> Rounded:
        """Give the vectors of parts that `round_off` made."""
        import numpy as np

        some = [part for part in parts if part]
        rows = [np.frombuffer(part, np.int8, offset=_SCALE_BYTES).reshape(-1, dims) for part in some]
        scales = [np.repeat(np.frombuffer(part, "<f4", count=1), len(r)) for part, r in zip(some, rows, strict=True)]
        return cls(
            np.concatenate([np.empty((0, dims or 1), np.int8), *rows]),
            np.concatenate([np.empty(0, np.float32), *scales]),
        )

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes + self._scales.nbytes

    def __len__(self) -> int:
        return len(self._rows)

    def similarities_to(self, query: bytes) -> NDArray[np.float32]:
        import numpy as np

        direction = _direction(query)
        found: NDArray[np.float32] = np.empty(len(self), dtype=np.float32)
        unpacked = np.empty((_AT_ONCE, self._rows.shape[1]), dtype=np.float32)
        for start in range(0, len(self), _AT_ONCE):
            rows = self._rows[start : start + _AT_ONCE]
            unpacked[: len(rows)] = rows
            np.dot(unpacked[: len(rows)], direction, out=found[start : start + len(rows)])
        found *= self._scales
        return found

    def similarities(self, left: NDArray[np.intp], right: NDArray[np.intp]) -> NDArray[np.float32]:
        import numpy as np

        one, other = self._rows[left].astype(np.float32), self._rows[right].astype(np.float32)
        return _products(one, other) * self._scales[left] * self._scales[right]

    def picked(self, pieces: list[Piece], new: Rounded) -> Rounded:
        return Rounded(pick(pieces, self._rows, new._rows), pick(pieces, self._scales, new._scales))

    def first(self, count: int) -> Rounded:
        return Rounded(self._rows[:count], self._scales[:count])


class Coded:
    """Codes of vectors: similarities are estimates.

    Args:
        words: the first 64 bits of each, then the next ones of each: so they are read in a few long runs.
        dims: the length of the vectors.
    """

    def __init__(self, words: NDArray[np.uint64], dims: int) -> None:
        self._words, self._dims = words, dims

    @property
    def nbytes(self) -> int:
        return self._words.nbytes

    def __len__(self) -> int:
        return int(self._words.shape[1])

    def similarities_to(self, query: bytes) -> NDArray[np.float32]:
        import numpy as np

        return self._cosines(self._words, np.frombuffer(code_of(query, self._dims), "<u8")[:, None])

    def similarities(self, left: NDArray[np.intp], right: NDArray[np.intp]) -> NDArray[np.float32]:
        return self._cosines(self._words[:, None, left], self._words[:, right])

    def picked(self, pieces: list[Piece], new: Coded) -> Coded:
        return Coded(pick(pieces, self._words, new._words, axis=1), self._dims)

    def first(self, count: int) -> Coded:
        return Coded(self._words[:, :count], self._dims)

    def _cosines(self, left: NDArray[np.uint64], right: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Give the cosine of the angle that a share of differing bits stands for.

        Source: Charikar, "Similarity estimation techniques from rounding algorithms" (STOC 2002).
        """
        import numpy as np

        differing = np.zeros(np.broadcast_shapes(left.shape[1:], right.shape[1:]), dtype=np.uint16)
        for some, others in zip(left, right, strict=True):
            differing += ones(some ^ others)
        angles = np.arange(self._dims + 1) * (np.pi / (self._dims or 1))
        cosines: NDArray[np.float32] = np.cos(angles).astype(np.float32)
        return cosines[differing]


def round_off(vectors: bytes) -> bytes:
    """Give float32 vectors as a scale, float32, and what it is to be multiplied with for each component, int8."""
    import numpy as np

    components = np.frombuffer(vectors, dtype="<f4")
    if not len(components):
        return b""
    scale = np.array([np.abs(components).max() / _MOST or 1.0], dtype="<f4")
    rounded: bytes = np.rint(components / scale).astype(np.int8).tobytes()
    return scale.tobytes() + rounded


def rounded_size(parts: Sequence[bytes]) -> int:
    """Give how many components the parts of rounded vectors have."""
    return sum(len(part) - _SCALE_BYTES for part in parts if part)


def _direction(query: bytes) -> NDArray[np.float32]:
    import numpy as np

    vector = np.frombuffer(query, dtype="<f4")
    direction: NDArray[np.float32] = (vector / (float(np.linalg.norm(vector)) or 1.0)).astype(np.float32)
    return direction


def _products(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    products: NDArray[np.float32] = np.einsum("ij,kij->ki", left, right)
    return products
