"""Short stand-ins for vectors: one bit for each component, whether it is above their mean. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def code_bytes(dims: int) -> int:
    """Give the length of a vector's code: one bit for each dimension, in whole 64-bit words."""
    return -(-dims // 64) * 8


def code_of(vectors: bytes, dims: int) -> bytes:
    """Give the codes of float32 vectors, one after another.

    Some embedders give only components above zero, all of whose signs are alike: hence the mean.
    """
    import numpy as np

    matrix = np.frombuffer(vectors, dtype="<f4").reshape(-1, dims)
    signs = np.packbits(matrix > matrix.mean(axis=1, keepdims=True), axis=1)
    if unused := code_bytes(dims) - signs.shape[1]:
        signs = np.pad(signs, ((0, 0), (0, unused)))
    return signs.tobytes()


def codes_of(vectors: Sequence[bytes], dims: int) -> list[bytes]:
    """Give the codes of each item's vectors."""
    codes, step = code_of(b"".join(vectors), dims), code_bytes(dims)
    ends = list(accumulate((len(some) // (4 * dims) * step for some in vectors), initial=0))
    return [codes[start:end] for start, end in pairwise(ends)]


def ones(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Count the bits that are set in each word."""
    import numpy as np

    counts: NDArray[np.uint8]
    if hasattr(np, "bitwise_count"):
        counts = np.bitwise_count(words)
    else:  # numpy before 2.0
        bits = np.array([n.bit_count() for n in range(256)], dtype=np.uint8)
        octets = np.ascontiguousarray(words).view(np.uint8).reshape(*words.shape, 8)
        counts = bits[octets].sum(axis=-1, dtype=np.uint8)
    return counts
