"""Plain values: those that msgpack carries as they are, with nothing to convert and no type to lose.

This file decides what is plain, fast. It knows no other kind of value.
"""

from __future__ import annotations

from gc import get_referents
from typing import Any

import msgspec

SCALARS: frozenset[type] = frozenset({str, int, float, bool, type(None), bytes})
_PLAIN = SCALARS | {list, dict}
_only_scalars = SCALARS.issuperset
_only_plain = _PLAIN.issuperset
# Deeper values take the careful path, which counts levels and names cycles.
_MOST_LEVELS = 32
# Levels longer than this are looked at once per container, so that a list that holds itself cannot grow without bound.
_LONG_LEVEL = 10_000

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
    if of is not dict and of is not list:
        return of in SCALARS
    # The collector's own walk looks at a whole level in C. It passes over the keys of a dict only where all are `str`.
    level = get_referents(value)
    for _ in range(_MOST_LEVELS):
        if _only_scalars(map(type, level)):
            return True
        if not _only_plain(map(type, level)):
            return False
        if len(level) > _LONG_LEVEL:
            level = list({id(item): item for item in level if type(item) not in SCALARS}.values())
        level = get_referents(*level)
    return False
