"""Plain values: those that msgpack carries as they are, with nothing to convert and no type to lose.

This file decides what is plain, fast. It knows no other kind of value.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

import msgspec

SCALARS: frozenset[type] = frozenset({str, int, float, bool, type(None), bytes})
_PLAIN = SCALARS | {list, dict}
_only_scalars = SCALARS.issuperset
_join = chain.from_iterable
# Deeper values take the careful path, which counts levels and names cycles.
_MOST_LEVELS = 32
_ONLY_DICTS = {dict}

pack = msgspec.msgpack.Encoder().encode
pack_sorted = msgspec.msgpack.Encoder(order="deterministic").encode


def is_plain_type(cls: type) -> bool:
    """Say whether values of exactly this type are plain, apart from what a container holds."""
    return cls in _PLAIN


def is_plain(value: Any) -> bool:
    """Say whether a value holds only text, bytes, numbers, True, False, None, lists and dicts, exactly of those types.

    Integers of more than 64 bits and text with lone surrogates count as plain here: packing them fails loudly.
    """
    of = type(value)
    if of is dict:
        return _only_scalars(map(type, chain(value, value.values()))) or _is_plain_below(value, 0)
    if of is list:
        return _only_scalars(map(type, value)) or _is_plain_below(value, 0)
    return of in SCALARS


def _is_plain_below(container: Any, depth: int) -> bool:
    """Look into a container that holds more than scalars. What runs once for each scalar runs in C."""
    if type(container) is dict:
        if not _only_scalars(map(type, container)):
            return False
        items: Iterable[Any] = container.values()
    elif {*map(type, container)} == _ONLY_DICTS and _hold_only_scalars(container):
        return True
    else:
        items = container
    for item in items:
        of = type(item)
        if of in SCALARS:
            continue
        if of is dict:
            flat = _only_scalars(map(type, chain(item, item.values())))
        elif of is list:
            flat = _only_scalars(map(type, item))
        else:
            return False
        if not flat and (depth == _MOST_LEVELS or not _is_plain_below(item, depth + 1)):
            return False
    return True


def _hold_only_scalars(dicts: list[dict[Any, Any]]) -> bool:
    """Say whether no dict of a list, such as one of messages, holds a container."""
    return _only_scalars(map(type, chain(_join(dicts), _join(map(dict.values, dicts)))))
