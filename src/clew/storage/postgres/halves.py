"""Vectors as pgvector reads them. Pure arithmetic."""

from __future__ import annotations

# Half precision has 11 bits, and pgvector compares directions: numbers up to 2,047 are short and lose nothing.
_LARGEST = 2047


def halves_text(vectors: bytes, dims: int) -> str:
    """Give float32 vectors as pgvector reads them, a line each: their directions, in half precision."""
    import numpy as np

    rows_ = np.frombuffer(vectors, dtype="<f4").reshape(-1, dims)
    largest = np.abs(rows_).max(axis=1, keepdims=True)
    whole = np.rint(rows_ * (_LARGEST / np.where(largest > 0, largest, 1))).astype(np.int16)
    return "\n".join(map(str, whole.tolist()))
