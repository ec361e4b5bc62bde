"""The parts that a value is made again from, taken for what its writer wrote and for nothing else.

Bytes may put any value where a part is expected: a range where a list was, or an object of an allowed class where a
number was. So parts are checked by their exact type before they are gone through, counted or called.
"""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")


def exactly(kind: type[T], part: Any) -> T:
    """Return a part that is of exactly this type.

    Raises:
        ValueError: it is of another.
    """
    if type(part) is not kind:
        raise ValueError(f"expected {kind.__name__}, found {type(part).__name__}")
    return part


def numbers(part: Any) -> list[int]:
    """Return a part that is a list of integers.

    Raises:
        ValueError: it is none.
    """
    found: list[Any] = exactly(list, part)
    if not all(isinstance(number, int) for number in found):
        raise ValueError("expected integers")
    return found
