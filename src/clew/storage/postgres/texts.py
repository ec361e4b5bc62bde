"""Any Python text as text that PostgreSQL can hold, and back: it knows neither NUL nor lone surrogates."""

from __future__ import annotations

import re
from typing import Any

# U+FFFF is no character and never will be one, so it may stand before the number of one that cannot be held.
_MARK = "\uffff"
_UNHELD = re.compile(f"[\0\ud800-\udfff{_MARK}]")
_HELD = re.compile(f"{_MARK}([0-9a-f]{{4}})")


def to_held(text: str) -> str:
    """Return a text that PostgreSQL can hold; different texts stay different, and most stay as they are."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNHELD.sub(lambda found: f"{_MARK}{ord(found[0]):04x}", text)


def from_held(text: str) -> str:
    """Return the text that was held."""
    return _HELD.sub(lambda found: chr(int(found[1], 16)), text) if _MARK in text else text


def held(value: Any) -> Any:
    """Return parameters of a statement, each text in them as PostgreSQL can hold it."""
    match value:
        case str():
            return to_held(value)
        case list() | tuple():
            return [held(element) for element in value]
        case dict():
            return {name: held(element) for name, element in value.items()}
        case _:
            return value


def given_back(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row with the texts that were held."""
    for value in row:
        if type(value) is str and _MARK in value:
            return tuple([from_held(each) if type(each) is str else each for each in row])
    return row  # as nearly all are
