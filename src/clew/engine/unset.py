"""What stands for a value that was not given, where None is one that may be."""

from __future__ import annotations

from typing import Final


class _Unset:
    def __repr__(self) -> str:
        return "<not given>"


UNSET: Final = _Unset()
