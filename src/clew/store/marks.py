"""What a search knows of an item besides its words and vectors: its short fields, and whether it asks something.

A short top-level field (a session, a speaker, a date, a category) is kept as two hashes, of its name and of its value.
What such a field means is not read from its name: `context` sees from the values whether they group or label items.
"""

from __future__ import annotations

from array import array
from functools import lru_cache
from itertools import islice
from typing import Any
from zlib import crc32

from clew.store.words import plain_words

_MOST_CHARACTERS = 64
_MOST_FIELDS = 16
_MOST_NAME_WORDS = 4
_ASKS = 1
_QUESTION_MARKS = ("?", "\uff1f", "\u061f", "\u1367")  # of Latin, Chinese and Japanese, Arabic, Ethiopic text


def item_marks(value: dict[str, Any], main: str) -> bytes:
    """Give a flag and pairs of 32-bit hashes: the item's short fields, name and value.

    Args:
        main: see `main_text`.
    """
    marks = array("I", [_ASKS if main.rstrip().endswith(_QUESTION_MARKS) else 0])
    for name, held in islice(value.items(), _MOST_FIELDS):
        if isinstance(held, (str, int)) and not isinstance(held, bool) and len(text := str(held)) <= _MOST_CHARACTERS:
            marks.append(_name_hash(name))
            marks.append(_held_hash(text))
    return marks.tobytes()


@lru_cache(maxsize=4096)
def _name_hash(name: str) -> int:
    return crc32(name.encode())


@lru_cache(maxsize=4096)
def _held_hash(text: str) -> int:
    return value_hash(plain_words(text))


def value_hash(words: list[str]) -> int:
    """Give the hash by which a field's value is recognised in a query."""
    return crc32(" ".join(words).encode())


def named_in(query: str) -> frozenset[int]:
    """Give the hashes of everything in a query that could name a field's value: runs of up to four words."""
    words, named = [word.encode() for word in plain_words(query)], set()
    for start, first in enumerate(words):
        named.add(run := crc32(first))
        for word in words[start + 1 : start + _MOST_NAME_WORDS]:
            named.add(run := crc32(b" " + word, run))
    return frozenset(named)


def main_text(texts: list[str]) -> str:
    """Give those of a memory's texts that carry its meaning: the longest, and those at least a quarter as long.

    A date, a speaker or an id beside a sentence would only blur the sentence's vector; words search still has them.
    """
    longest = max(map(len, texts), default=0)
    return "\n".join([text for text in texts if 4 * len(text) >= longest])
