"""A filter as SQL that lets through at least what the filter lets through, so that fewer values are decoded.

The definition stays clew.store.filters: what SQL lets through is evaluated there. Only what SQLite compares exactly as
the definition does is compiled; numbers that are not whole are not, since SQLite before 3.42 reads some of them
inexactly. Every operand and path is a parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from clew.store.filters import Compare, Every, Filter, Some
from clew.store.values import fits_64_bits

_EVERYTHING = "1"
_MOST_BRACKETS = 500  # SQLite refuses expressions deeper than 1000
_TEXT_ORDER = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


def compile_filter(condition: Filter | None) -> tuple[str, list[Any]]:
    """Give an SQL condition on `i.value` with its parameters."""
    if condition is None:
        return _EVERYTHING, []
    sql, parameters = _compile(condition)
    return (sql, parameters) if sql.count("(") < _MOST_BRACKETS else (_EVERYTHING, [])


def _compile(condition: Filter | None) -> tuple[str, list[Any]]:
    match condition:
        case Compare(path, operator, operand):
            return _compile_comparison(path, operator, operand)
        case Every(parts):
            return _join(" AND ", [_compile(part) for part in parts]) if parts else (_EVERYTHING, [])
        case Some(parts):
            return _join(" OR ", [_compile(part) for part in parts])
        case _:
            return _EVERYTHING, []


def _compile_comparison(path: tuple[str, ...], operator: str, operand: Any) -> tuple[str, list[Any]]:
    if any(step.isdecimal() for step in path):
        return _EVERYTHING, []  # an index or a key: SQLite's paths must know which
    place = place_of(path)
    if operator == "$eq":
        return _equal(place, operand)
    if operator == "$in":
        return _join(" OR ", [_equal(place, one) for one in operand]) if operand else ("0", [])
    if operator in _TEXT_ORDER and is_plain_text(operand):
        return f"json_extract(i.value, ?) {_TEXT_ORDER[operator]} ?", [place, operand]
    return _EVERYTHING, []


@lru_cache(maxsize=1024)
def place_of(path: tuple[str, ...]) -> str:
    """Give a path into a value as SQLite writes it."""
    return "$" + "".join(f'."{step}"' for step in path)


def _equal(place: str, operand: Any) -> tuple[str, list[Any]]:
    if operand is None:
        return "json_extract(i.value, ?) IS NULL", [place]
    if is_plain_text(operand) or is_whole_number(operand):
        return "json_extract(i.value, ?) = ?", [place, operand]
    return _EVERYTHING, []


def is_whole_number(operand: object) -> bool:
    """Say whether SQLite compares it exactly: a whole number of 64 bits, or a truth value, which is one there."""
    return isinstance(operand, int) and fits_64_bits(operand)


def is_plain_text(operand: object) -> bool:
    """Say whether SQLite can be given it as text: no half of a surrogate pair."""
    return isinstance(operand, str) and (operand.isascii() or not any("\ud800" <= c <= "\udfff" for c in operand))


def _join(word: str, parts: Sequence[tuple[str, list[Any]]]) -> tuple[str, list[Any]]:
    sql = "(" + word.join(f"({part})" for part, _ in parts) + ")"
    return sql, [parameter for _, parameters in parts for parameter in parameters]
