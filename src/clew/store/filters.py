"""The filter language: what a filter may say, and what it means. The definition that every engine must equal.

| operator                    | holds when the value at the path                                                |
|-----------------------------|---------------------------------------------------------------------------------|
| `{"a": x}`, `$eq`           | equals x; a missing one equals None; 1 equals 1.0 but not True; NaN equals nothing |
| `$ne`                       | does not                                                                        |
| `$gt` `$gte` `$lt` `$lte`   | and x are both numbers or both text, in that order                              |
| `$in` `$nin`                | equals one of a list; equals none of them                                       |
| `$exists`                   | is there, also as None (True); is not (False)                                   |
| `$contains`                 | is a list with an element equal to x, or text with x inside                     |
| `$not`                      | does not meet the conditions given                                              |
| `$and` `$or` `$not`, around | every filter of the list holds; one of them does; the filter does not           |

A path goes into dictionaries by key and into lists by index: "address.city", "tags.0". Several keys, and several
operators on one key, must all hold. A dictionary without `$` is compared whole. Nothing here knows a database.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from clew.errors import InvalidFilter, UsageError
from clew.store.values import decode_value

_KEY = r"[\w.\-]+"
_MAX_DEPTH = 50
_MISSING = object()


class Compare(Struct, frozen=True):
    """The value at `path` compared with `operand`."""

    path: tuple[str, ...]
    operator: str
    operand: Any


class Every(Struct, frozen=True):
    """All of the parts hold."""

    parts: tuple[Condition, ...]


class Some(Struct, frozen=True):
    """At least one of the parts holds."""

    parts: tuple[Condition, ...]


class Not(Struct, frozen=True):
    """The part does not hold."""

    part: Condition


Condition = Compare | Every | Some | Not


class Behind(Struct, frozen=True):
    """A filter of what `open` makes of a value as it is kept."""

    open: Callable[[bytes | str], bytes]
    filter: Filter


Filter = Condition | Behind


def parse_filter(source: object) -> Condition | None:
    """Check a filter and give its tree; None when it says nothing.

    Raises:
        InvalidFilter: the message names the key or operator.
    """
    if source is None or source == {}:
        return None
    return _parse(source, 0)


def check_filter_fields(paths: object) -> list[tuple[str, ...]]:
    """Give the steps of the paths of fields that filters name.

    Raises:
        UsageError: they are no list of text, or one goes into a list.
        InvalidFilter: one of them is no key that a filter can have.
    """
    if isinstance(paths, str) or not isinstance(paths, (list, tuple)) or not all(isinstance(p, str) for p in paths):
        raise UsageError(f"filter_fields is a list of keys as filters have them, such as ['user_id'], not {paths!r}")
    steps = [_parse_path(path) for path in paths]
    if numbered := [path for path, taken in zip(paths, steps, strict=True) if any(step.isdecimal() for step in taken)]:
        raise UsageError(f"filter_fields go through dictionaries alone, not to the elements of a list: {numbered}")
    return steps


def matches(condition: Condition | None, value: Mapping[str, Any]) -> bool:
    """Say whether a memory's value meets the condition."""
    match condition:
        case Compare(path, operator, operand):
            return _OPERATORS[operator](_at(value, path), operand)
        case None:
            return True
        case Every(parts):
            return all(matches(part, value) for part in parts)
        case Some(parts):
            return any(matches(part, value) for part in parts)
        case Not(part):
            return not matches(part, value)


def meets(wanted: Filter | None, kept: bytes | str) -> bool:
    """Say whether a memory meets a filter, from its value as it is kept.

    Raises:
        UnreadableRecord: the value cannot be read.
    """
    if isinstance(wanted, Behind):
        return meets(wanted.filter, wanted.open(kept))
    return wanted is None or matches(wanted, decode_value(kept))


def _parse(source: object, depth: int) -> Condition:
    if not isinstance(source, Mapping):
        raise InvalidFilter(f'a filter is a dictionary, as in {{"color": "red"}}, not {source!r}')
    if depth > _MAX_DEPTH:
        raise InvalidFilter(f"the filter is nested deeper than {_MAX_DEPTH} levels")
    return _all(tuple(_parse_entry(key, operand, depth) for key, operand in source.items()))


def _parse_entry(key: object, operand: object, depth: int) -> Condition:
    if key in ("$and", "$or"):
        if not isinstance(operand, (list, tuple)) or not operand:
            raise InvalidFilter(f"{key} takes a list of at least one filter, not {operand!r}")
        parts = tuple(_parse(part, depth + 1) for part in operand)
        return Every(parts) if key == "$and" else Some(parts)
    if key == "$not":
        return Not(_parse(operand, depth + 1))
    if not isinstance(key, str) or key.startswith("$"):
        raise InvalidFilter(f"Invalid filter key {key!r}: around conditions there are $and, $or and $not")
    return _parse_conditions(_parse_path(key), operand, depth)


@lru_cache(maxsize=1024)
def _parse_path(key: str) -> tuple[str, ...]:
    path = tuple(key.split("."))
    if not re.fullmatch(_KEY, key) or "" in path:
        raise InvalidFilter(
            f"Invalid filter key {key!r}: use letters, digits, '_' and '-', with '.' between the steps of a path"
        )
    return path


def _parse_conditions(path: tuple[str, ...], operand: object, depth: int) -> Condition:
    if not isinstance(operand, Mapping) or not any(isinstance(k, str) and k.startswith("$") for k in operand):
        return Compare(path, "$eq", _check_operand(operand, depth))
    return _all(tuple(_parse_operator(path, name, inner, depth + 1) for name, inner in operand.items()))


def _parse_operator(path: tuple[str, ...], name: object, operand: object, depth: int) -> Condition:
    where = f"at {'.'.join(path)!r}"
    if depth > _MAX_DEPTH:
        raise InvalidFilter(f"the filter is nested deeper than {_MAX_DEPTH} levels {where}")
    if name == "$not":
        if not isinstance(operand, Mapping):
            raise InvalidFilter(f"$not {where} takes conditions, as in {{'$gt': 3}}, not {operand!r}")
        return Not(_parse_conditions(path, operand, depth))
    if name not in _OPERATORS:
        raise InvalidFilter(f"Unsupported operator {name!r} {where}: there are {', '.join([*_OPERATORS, '$not'])}")
    if name in ("$in", "$nin") and not isinstance(operand, (list, tuple)):
        raise InvalidFilter(f"{name} {where} takes a list, not {operand!r}")
    if name == "$exists" and not isinstance(operand, bool):
        raise InvalidFilter(f"$exists {where} takes True or False, not {operand!r}")
    return Compare(path, str(name), _check_operand(operand, depth))


def _all(parts: tuple[Condition, ...]) -> Condition:
    return parts[0] if len(parts) == 1 else Every(parts)


def _check_operand(operand: object, depth: int) -> Any:
    """Give the operand as JSON types; infinity, NaN and integers of any size are legal here."""
    if operand is None or isinstance(operand, (bool, int, float, str)):
        return operand
    if depth <= _MAX_DEPTH:
        if isinstance(operand, (list, tuple)):
            return [_check_operand(o, depth + 1) for o in operand]
        if isinstance(operand, Mapping) and all(isinstance(k, str) for k in operand):
            return {k: _check_operand(o, depth + 1) for k, o in operand.items()}
    raise InvalidFilter(f"a memory cannot hold {operand!r}, so no filter can compare with it: use JSON values")


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        if type(value) is dict or isinstance(value, Mapping):
            value = value.get(step, _MISSING)
        elif isinstance(value, list) and step.isdecimal() and step.isascii() and len(step) < 10:
            value = value[int(step)] if int(step) < len(value) else _MISSING
        else:
            return _MISSING
    return value


def _equal(found: Any, operand: Any) -> bool:
    if type(found) is str:
        return bool(found == operand)
    if found is _MISSING:
        return operand is None
    if isinstance(found, bool) or isinstance(operand, bool):
        return found is operand
    if isinstance(found, list) and isinstance(operand, list):
        return len(found) == len(operand) and all(map(_equal, found, operand))
    if isinstance(found, dict) and isinstance(operand, dict):
        return found.keys() == operand.keys() and all(_equal(found[k], operand[k]) for k in found)
    return bool(found == operand)


def _ordered(holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(found: Any, operand: Any) -> bool:
        both_text = isinstance(found, str) and isinstance(operand, str)
        return (both_text or (_is_number(found) and _is_number(operand))) and holds(found, operand)

    return compare


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def _contains(found: Any, operand: Any) -> bool:
    if isinstance(found, list):
        return any(_equal(element, operand) for element in found)
    return isinstance(found, str) and isinstance(operand, str) and operand in found


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": _equal,
    "$ne": lambda found, operand: not _equal(found, operand),
    "$gt": _ordered(lambda a, b: a > b),
    "$gte": _ordered(lambda a, b: a >= b),
    "$lt": _ordered(lambda a, b: a < b),
    "$lte": _ordered(lambda a, b: a <= b),
    "$in": lambda found, operand: any(_equal(found, o) for o in operand),
    "$nin": lambda found, operand: not any(_equal(found, o) for o in operand),
    "$exists": lambda found, operand: (found is not _MISSING) is operand,
    "$contains": _contains,
}
