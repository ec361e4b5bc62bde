"""Vectors as pgvector reads them. Pure arithmetic."""

from __future__ import annotations

# pgvector compares directions. Half precision goes up to 65,504, and numbers of 16 bits are short.
_LARGEST = 32_767


def halves_text(vectors: bytes, dims: int) -> str:
    """Give float32 vectors as pgvector reads them, a line each: their directions, in 15 bits and a sign."""
    import numpy as np

    rows_ = np.frombuffer(vectors, dtype="<f4").reshape(-1, dims)
    largest = np.abs(rows_).max(axis=1, keepdims=True)
    whole = np.rint(rows_ * (_LARGEST / np.where(largest > 0, largest, 1))).astype(np.int16)
    return "\n".join(map(str, whole.tolist()))
