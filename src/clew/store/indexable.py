"""What of a memory's value is indexed: its terms, its marks, and the texts that get vectors. Nothing of databases."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from clew.store.marks import item_marks, main_text
from clew.store.paths import found_at, leaf_texts, texts_at
from clew.store.settings import Settings
from clew.store.words import hashes


class Indexable(Struct, frozen=True, kw_only=True):
    """What is indexed of a value.

    Args:
        words: 32-bit hashes of its terms, with repetitions.
        marks: what else a search knows of it; see marks.
        texts: those that get vectors, each once; none without an embedder.
    """

    words: bytes = b""
    marks: bytes = b""
    texts: tuple[str, ...] = ()


def indexable(value: dict[str, Any], fields: tuple[str, ...] | None, settings: Settings) -> Indexable:
    """Find what is to be indexed of a value.

    Args:
        fields: paths that are indexed of it instead of the store's; empty: none.
        settings: of the store.
    """
    if fields == ():
        return Indexable()
    searched = every = leaf_texts(value)
    main = main_text(every)
    embedded: tuple[str, ...] = (main,) if main else ()
    if (paths := settings.fields if fields is None else fields) is not None:
        searched = [text for found in found_at(value, paths) for text in leaf_texts(found)]
        embedded = tuple(dict.fromkeys(texts_at(value, paths)))
    return Indexable(
        words=hashes(searched, settings.stem).tobytes(),
        marks=item_marks(value, main),
        texts=embedded if settings.embedder is not None else (),
    )
