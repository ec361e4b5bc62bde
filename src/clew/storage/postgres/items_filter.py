"""A filter as SQL on `i.doc` that lets through what the filter lets through, or more where it says so.

The definition stays clew.store.filters. jsonb compares as it does, type by type, but for numbers beyond 2^53: there a
float and its shortest decimal differ. What is not compiled is let through and evaluated there. Every operand and path
is a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from msgspec import json

from clew.store.filters import Compare, Every, Filter, Not, Some

_EXACT_NUMBERS = 2**53
_ORDER = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_UNKNOWN = re.compile("[\0\ud800-\udfff]")
_FROM_THE_END = re.compile("-[0-9]+")  # an index for PostgreSQL, a key for a filter


class Compiled(NamedTuple):
    """A condition in SQL.

    Args:
        sql: with %(name)s for parameters.
        parameters: by name.
        is_exact: whether it lets through nothing else.
    """

    sql: str
    parameters: dict[str, Any]
    is_exact: bool


_Part = tuple[str, bool]
_Name = Callable[[Any], str]
_EVERYTHING: _Part = ("true", False)


def compile_filter(condition: Filter | None) -> Compiled:
    """Give the condition on `i.doc`."""
    parameters: dict[str, Any] = {}

    def name(value: Any) -> str:
        parameters[f"f{len(parameters)}"] = value
        return f"%(f{len(parameters) - 1})s"

    sql, is_exact = ("true", True) if condition is None else _compile(condition, name)
    return Compiled(sql, parameters, is_exact)


def _compile(condition: Filter, name: _Name) -> _Part:
    match condition:
        case Compare(path, operator, operand):
            if any(_FROM_THE_END.fullmatch(step) for step in path) or not _is_exact(operand):
                return _EVERYTHING
            sql = _COMPILERS[operator](f"(i.doc #> {name(list(path))}::text[])", operand, name)
            return sql, True
        case Every(parts):
            return _join(" AND ", [_compile(part, name) for part in parts])
        case Some(parts):
            return _join(" OR ", [_compile(part, name) for part in parts])
        case Not(part):
            sql, is_exact = _compile(part, name)
            return (f"({sql}) IS NOT TRUE", True) if is_exact else _EVERYTHING
        case _:
            return _EVERYTHING


def _join(word: str, parts: Sequence[_Part]) -> _Part:
    if not parts:
        return "true", True
    return "(" + word.join(f"({sql})" for sql, _ in parts) + ")", all(is_exact for _, is_exact in parts)


def _is_exact(operand: Any) -> bool:
    """Say whether jsonb can hold an operand, and compares it as a filter does."""
    match operand:
        case bool() | None:
            return True
        case int() | float():
            return -_EXACT_NUMBERS < operand < _EXACT_NUMBERS
        case str():
            return _UNKNOWN.search(operand) is None
        case list():
            return all(map(_is_exact, operand))
        case _:
            return all(_is_exact(name) and _is_exact(inner) for name, inner in operand.items())


def _json(operand: Any) -> str:
    return json.encode(operand).decode()


def _equal(found: str, operand: Any, name: _Name) -> str:
    if operand is None:
        return f"coalesce({found}, 'null') = 'null'"
    wanted = f"{name(_json(operand))}::jsonb"
    # By the hash, too, of which there is an index for declared fields; see clew_declare_field.
    return f"jsonb_hash_extended({found}, 0) = jsonb_hash_extended({wanted}, 0) AND {found} = {wanted}"


def _one_of(found: str, operands: Any, name: _Name) -> str:
    wanted = f"{name([_json(operand) for operand in operands])}::text[]::jsonb[]"
    return f"coalesce({found}, 'null') = ANY ({wanted})"


def _ordered(sign: str) -> Callable[[str, Any, _Name], str]:
    def compare(found: str, operand: Any, name: _Name) -> str:
        if isinstance(operand, str):
            return f"jsonb_typeof({found}) = 'string' AND {found} #>> '{{}}' COLLATE \"C\" {sign} {name(operand)}::text"
        if isinstance(operand, int | float) and not isinstance(operand, bool):
            return f"jsonb_typeof({found}) = 'number' AND {found} {sign} {name(_json(operand))}::jsonb"
        return "false"

    return compare


def _contains(found: str, operand: Any, name: _Name) -> str:
    """Compare with each element: `@>` would take part of a dictionary for the whole."""
    wanted = f"{name(_json(operand))}::jsonb"
    elements = f"jsonb_array_elements(CASE jsonb_typeof({found}) WHEN 'array' THEN {found} END)"
    within = f"EXISTS (SELECT 1 FROM {elements} AS e (element) WHERE element = {wanted})"
    if not isinstance(operand, str):
        return within
    return f"{within} OR jsonb_typeof({found}) = 'string' AND strpos({found} #>> '{{}}', {name(operand)}::text) > 0"


def _not(compile_positive: Callable[[str, Any, _Name], str]) -> Callable[[str, Any, _Name], str]:
    return lambda found, operand, name: f"({compile_positive(found, operand, name)}) IS NOT TRUE"


_COMPILERS: dict[str, Callable[[str, Any, _Name], str]] = {
    "$eq": _equal,
    "$ne": _not(_equal),
    **{operator: _ordered(sign) for operator, sign in _ORDER.items()},
    "$in": _one_of,
    "$nin": _not(_one_of),
    "$exists": lambda found, is_there, name: f"{found} IS {'NOT ' if is_there else ''}NULL",
    "$contains": _contains,
}
