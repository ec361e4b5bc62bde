"""From text to the terms by which words search finds it. Pure text: nothing of scores (see ranking) or databases.

Case and accents are folded. Scripts that write spaces give words; scripts that write none (Chinese, Japanese, Thai,
Lao, Khmer, Burmese) and Korean, which glues particles on, give overlapping pairs of characters, so that a word is
found inside a run. Terms are kept as 32-bit hashes: a namespace of 100,000 distinct terms has about one collision.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from itertools import pairwise
from zlib import crc32

Stem = Callable[[str], str]

# With the signs of Hebrew and Arabic that most people leave out: vowels, hamza on a letter, the stroke that widens one.
_ACCENTS = "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670]+"
_IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_SPACELESS = f"{_IDEOGRAPHS}\u3005\u3040-\u30ff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\uac00-\ud7af"
_MARKS = "\u0900-\u0dff"  # vowel signs of the Indic scripts are no letters to `\w`, yet part of the word
_ASCII_WORD = "[a-z0-9]+"  # what _TOKEN finds where there is nothing but ASCII, several times as fast
_TOKEN = f"(?P<run>[{_SPACELESS}]+)|(?:[^\\W_{_SPACELESS}]|[{_MARKS}])+"
_IDEOGRAPH = f"[{_IDEOGRAPHS}]"
# Words that ask or connect and name nothing; in a query they would outweigh the words that do, being rare in memories.
_ENGLISH_FUNCTION_WORDS = """
    a an the of to in on at for and or but with by from as about into out up down over after before during between
    is are was were be been being am do does did doing has have had having could should will would shall can may
    might must not no if then than so there here i you he she it we they me him her us them my your his its our
    their this that these those what which who whom whose when where why how s t re ve ll d m
"""
ENGLISH_FUNCTION_WORDS = frozenset(_ENGLISH_FUNCTION_WORDS.split())
_ENGLISH_ENDINGS = (("ies", "y"), ("sses", "ss"), ("ing", ""), ("edly", ""), ("ed", ""), ("es", "e"), ("s", ""))


@cache  # Compiled when first used: ranges this wide take longer than the import of all of this room.
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def fold(text: str) -> str:
    """Give the text without case, accents and width variants."""
    if text.isascii():
        return text.lower()
    apart = _compiled(_ACCENTS).sub("", unicodedata.normalize("NFKD", text.casefold()))
    return unicodedata.normalize("NFKC", apart)


def remembered(stem: Stem | None) -> Stem | None:
    """Give a stemming that remembers the words it met lately: texts repeat words more often than not."""
    return stem and lru_cache(maxsize=65536)(stem)


def terms(text: str, stem: Stem | None = None) -> Iterable[str]:
    """Give the terms of a text in order, with repetitions."""
    if text.isascii():
        words = _compiled(_ASCII_WORD).findall(text.lower())
        return map(stem, words) if stem else words
    return [term for _, term in _words_and_terms(text, stem)]


def _words_and_terms(text: str, stem: Stem | None) -> Iterator[tuple[str, str]]:
    """Give each word with its term; the pairs of a run without spaces are their own terms."""
    if text.isascii():
        words = _compiled(_ASCII_WORD).findall(text.lower())
        yield from ((word, stem(word)) for word in words) if stem else zip(words, words, strict=True)
        return
    for token in _compiled(_TOKEN).finditer(fold(text)):
        word = token.group()
        if token["run"] is None:
            yield word, stem(word) if stem else word
        else:
            yield from ((pair, pair) for pair in _run_terms(word))


def hashes(texts: Iterable[str], stem: Stem | None = None) -> array[int]:
    """Give the 32-bit hash of every term of the texts, in order, with repetitions."""
    return array("I", map(_hash, terms("\n".join(texts), stem)))


def query_hashes(query: str, stem: Stem | None, ignored: frozenset[str]) -> tuple[int, ...]:
    """Give the hashes of a query's distinct terms, without the ignored words unless there is nothing else."""
    kept = [term for word, term in _words_and_terms(query, stem) if word not in ignored]
    return tuple(dict.fromkeys(map(_hash, kept or terms(query, stem))))


def query_words(query: str, stem: Stem | None) -> list[tuple[str, int]]:
    """Give a query's distinct words, each with the hash of its term."""
    return [(word, _hash(term)) for word, term in dict.fromkeys(_words_and_terms(query, stem))]


def plain_words(text: str) -> list[str]:
    """Give the folded words of a text, runs without spaces as one word each."""
    if text.isascii():
        return _compiled(_ASCII_WORD).findall(text.lower())
    return [token.group() for token in _compiled(_TOKEN).finditer(fold(text))]


def light_stem(word: str) -> str:
    """Cut the commonest English endings, so that "paints", "painted" and "painting" meet.

    Words in other scripts, with digits or of up to three letters stay as they are. Source of the idea: Harman,
    "How effective is suffixing?" (JASIS 1991): a weak stemmer gains what a strong one does, and errs less.
    """
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    for ending, instead in _ENGLISH_ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            if ending == "s" and word[-2] in "su":
                continue
            word = word[: -len(ending)] + instead
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls":
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word[-1] == "e" else word


def _run_terms(run: str) -> Iterator[str]:
    if len(run) == 1:
        yield run
        return
    for left, right in pairwise(run):
        yield left + right
    yield from _compiled(_IDEOGRAPH).findall(run)


@lru_cache(maxsize=65536)
def _hash(term: str) -> int:
    return crc32(term.encode("utf-8", "replace"))
