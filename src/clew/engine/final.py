"""What a workflow returns when the value for its caller is not the value for its next run."""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

R = TypeVar("R")
S = TypeVar("S")


class final(Struct, Generic[R, S], frozen=True, kw_only=True):  # read and written as `entrypoint.final`
    """Return one value and save another.

    Args:
        value: what the caller gets.
        save: what the next run on the thread gets as `previous`.
    """

    value: R
    save: S
