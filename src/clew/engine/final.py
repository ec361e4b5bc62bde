"""What a workflow returns when the value for its caller is not the value for its next run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

R = TypeVar("R")
S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class final(Generic[R, S]):  # read and written as `entrypoint.final`
    """Return one value and save another.

    Args:
        value: what the caller gets.
        save: what the next run on the thread gets as `previous`.
    """

    value: R
    save: S
