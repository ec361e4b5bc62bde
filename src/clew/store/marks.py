"""What a search knows of an item besides its words and vectors: its short fields, and whether it asks something.

A short top-level field (a session, a speaker, a date, a category) is kept as two hashes, of its name and of its value.
What such a field means is not read from its name: `context` sees from the values whether they group or label items.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any
from zlib import crc32

from clew.store.paths import leaf_texts
from clew.store.words import plain_words

_MOST_CHARACTERS = 64
_MOST_FIELDS = 16
_MOST_NAME_WORDS = 4
_ASKS = 1
_QUESTION_MARKS = ("?", "\uff1f", "\u061f", "\u1367")  # of Latin, Chinese and Japanese, Arabic, Ethiopic text


def item_marks(value: dict[str, Any]) -> bytes:
    """Give a flag and pairs of 32-bit hashes: the item's short fields, name and value."""
    marks = array("I", [_ASKS if main_text(value).rstrip().endswith(_QUESTION_MARKS) else 0])
    for name, held in list(value.items())[:_MOST_FIELDS]:
        if isinstance(held, (str, int)) and not isinstance(held, bool) and len(text := str(held)) <= _MOST_CHARACTERS:
            marks.extend((crc32(name.encode()), value_hash(plain_words(text))))
    return marks.tobytes()


def value_hash(words: list[str]) -> int:
    """Give the hash by which a field's value is recognised in a query."""
    return crc32(" ".join(words).encode())


def named_in(query: str) -> frozenset[int]:
    """Give the hashes of everything in a query that could name a field's value: runs of up to four words."""
    words = plain_words(query)
    return frozenset(
        value_hash(words[start:end])
        for start in range(len(words))
        for end in range(start + 1, min(start + _MOST_NAME_WORDS, len(words)) + 1)
    )


def main_text(value: dict[str, Any]) -> str:
    """Give the texts that carry a memory's meaning: the longest, and those at least a quarter as long.

    A date, a speaker or an id beside a sentence would only blur the sentence's vector; words search still has them.
    """
    texts = list(leaf_texts(value))
    longest = max(map(len, texts), default=0)
    return "\n".join(_long_enough(texts, longest))


def _long_enough(texts: list[str], longest: int) -> Iterator[str]:
    return (text for text in texts if 4 * len(text) >= longest)
