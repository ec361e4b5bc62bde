"""A short text for the arguments of a call, for people who compare what was recorded with what the code asks now.

It calls nothing that a user wrote: no `__repr__`, no property.
"""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

from clew.codec.layouts import attributes_of, layout_of
from clew.codec.objects import shape_of
from clew.codec.standard import standard_kind

_MOST_TEXT = 200
_MOST_OF_ONE = 60
_MOST_ELEMENTS = 3
_SHORT = 10**18  # an integer below it needs no cutting
_BRACKETS: dict[type, tuple[str, str]] = {
    list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}"), frozenset: ("{", "}"), deque: ("[", "]"),
}  # fmt: skip
_MAPPINGS = (dict, OrderedDict, defaultdict, Counter)
_HIDDEN = ("pydantic.types", "numpy")


def describe(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Return one line of at most 200 characters, such as `'bob', [12 items…], amount=5`. It never raises."""
    match args:
        case (arg,) if not kwargs:
            return str(arg) if type(arg) is int and -_SHORT < arg < _SHORT else _text(arg, 0)
        case _:
            named = [f"{name}={_text(value, 0)}" for name, value in kwargs.items()]
            return _cut(", ".join([*(_text(arg, 0) for arg in args), *named]), _MOST_TEXT)


def _text(value: Any, depth: int) -> str:
    if type(value) is int and -_SHORT < value < _SHORT:
        return repr(value)
    try:
        return _cut(_told(value, depth), _MOST_OF_ONE)
    except Exception:
        return f"<{type(value).__qualname__}>"


def _told(value: Any, depth: int) -> str:
    of = type(value)
    if of is str or of is bytes:
        return repr(value[: _MOST_OF_ONE + 1])
    if of is int:
        return repr(value) if value.bit_length() <= 128 else f"<int of {value.bit_length()} bits>"
    if value is None or of in (bool, float, complex):
        return repr(value)
    if of in _BRACKETS:
        return _items(value, _BRACKETS[of], depth)
    if of in _MAPPINGS:
        return _mapping(value, depth)
    if of is slice:
        return f"slice({', '.join(_text(part, 1) for part in (value.start, value.stop, value.step))})"
    if isinstance(value, enum.Enum):
        return f"{of.__qualname__}.{value._name_}"
    if standard_kind(of) is not None:
        return f"<{of.__qualname__}>" if of.__module__ in _HIDDEN else repr(value)
    if shape_of(of) is not None and depth < 1:
        return _object(value, depth)
    return f"<{of.__qualname__}>"


def _items(items: Any, brackets: tuple[str, str], depth: int) -> str:
    begin, end = brackets
    if len(items) > _MOST_ELEMENTS or (depth and items):
        return f"{begin}{_count(len(items), 'item')}…{end}"
    comma = "," if begin == "(" and len(items) == 1 else ""
    return f"{begin}{', '.join(_text(item, depth + 1) for item in items)}{comma}{end}"


def _mapping(mapping: dict[Any, Any], depth: int) -> str:
    if len(mapping) > _MOST_ELEMENTS or (depth and mapping):
        return f"{{{_count(len(mapping), 'key')}…}}"
    return "{" + ", ".join(f"{_text(key, 1)}: {_text(value, depth + 1)}" for key, value in mapping.items()) + "}"


def _object(value: Any, depth: int) -> str:
    of = type(value)
    shown = _shown_fields(of)
    state = _fields_of(value)
    texts = [f"{name}={_text(item, depth + 1)}" for name, item in state.items() if shown is None or name in shown]
    return f"{of.__qualname__}({', '.join(texts)})"


def _fields_of(value: Any) -> Mapping[str, Any]:
    of = type(value)
    if issubclass(of, tuple):  # a named one
        return dict(zip(getattr(of, "_fields", ()), tuple.__iter__(value), strict=False))
    return (attributes_of(value) or {}) if hasattr(of, "__pydantic_fields__") else layout_of(of).state(value)


def _shown_fields(cls: Any) -> Iterable[str] | None:
    """Return the fields that the class wants to be shown, or None for all."""
    if (declared := getattr(cls, "__pydantic_fields__", None)) is not None:
        return {name for name, field in declared.items() if field.repr}
    if (declared := getattr(cls, "__dataclass_fields__", None)) is not None:
        return {name for name, field in declared.items() if field.repr}
    return None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
