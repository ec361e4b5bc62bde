"""What waits for its vectors or is indexed anew, when it is tried again, what became of it. No databases or clocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import Struct

from clew.store.embedding import Embedded, Embedder, text_hash
from clew.store.indexable import indexable
from clew.store.planning import NO_EMBEDDER, Vectors, join_vectors
from clew.store.settings import Settings
from clew.store.values import decode_value

_MOST_DELAY_S = 3600
TERM_BYTES = 4
NO_VECTOR = "the embedder gave no vector"


class Written(NamedTuple):
    """Which item a write has left, and of which version it is."""

    id: int
    version: int


class Waiting(Struct, frozen=True, kw_only=True):
    """An item whose vectors are to be made.

    Args:
        id: the engine's name for it.
        version: of the item when it was read; a later one makes this work void.
        value: its JSON bytes.
        fields: paths indexed for it instead of the store's.
        attempts: failures so far.
    """

    id: int
    version: int
    value: bytes | str
    fields: tuple[str, ...] | None
    attempts: int


class Worked(Struct, frozen=True, kw_only=True):
    """What became of a waiting item: vectors, or a reason to wait `again_in_s` more; neither: it needs none."""

    id: int
    version: int
    vectors: Vectors | None = None
    reason: str = ""
    again_in_s: int = 0


class Indexed(Struct, frozen=True, kw_only=True):
    """An item and what is indexed of it.

    Args:
        id, version, value, fields: as in Waiting.
        terms: how many, with repetitions.
        vectors: of whatever model; None: it has none.
    """

    id: int
    version: int
    value: bytes | str
    fields: tuple[str, ...] | None
    terms: int
    vectors: Vectors | None


class Reindexed(Struct, frozen=True, kw_only=True):
    """What is to be indexed of an item; `waiting` says why its vectors are still to be made."""

    id: int
    version: int
    words: bytes
    marks: bytes
    vectors: Vectors | None
    waiting: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStatus:
    """How far a store's items are indexed.

    Args:
        items: kept, expired ones not yet swept included.
        embedded: with vectors of the store's model.
        waiting: without vectors yet.
        other_models: items with vectors of other models, by the model's name; `reindex` moves them.
        reasons: why items wait, with their number.
    """

    items: int
    embedded: int
    waiting: int
    other_models: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)


def status_of(
    items: int, by_embedder: Mapping[tuple[str, int], int], reasons: Mapping[str, int], model: str, dims: int | None
) -> IndexStatus:
    """Give the status from what was counted.

    Args:
        by_embedder: how many items have vectors, by their model and length.
        model, dims: of the store's embedder; None: the length is not known yet.
    """
    others: dict[str, int] = {}
    for embedder in other_embedders(by_embedder, model, dims):
        name = _told(embedder, model)
        others[name] = others.get(name, 0) + by_embedder[embedder]
    embedded = sum(by_embedder.values()) - sum(others.values())
    waiting = sum(reasons.values())
    return IndexStatus(items=items, embedded=embedded, waiting=waiting, other_models=others, reasons=dict(reasons))


def other_names(embedders: Iterable[tuple[str, int]], model: str, dims: int | None) -> list[str]:
    """Give the names of embedders, of which the models and lengths are given, that are not the store's."""
    return sorted({_told(embedder, model) for embedder in other_embedders(embedders, model, dims)})


def other_embedders(embedders: Iterable[tuple[str, int]], model: str, dims: int | None) -> list[tuple[str, int]]:
    return [embedder for embedder in embedders if not _is_ours(*embedder, model, dims)]


def _is_ours(name: str, length: int, model: str, dims: int | None) -> bool:
    return name == model and dims in (None, length)


def _told(embedder: tuple[str, int], model: str) -> str:
    name, length = embedder
    return name if name != model else f"{name} with {length} dimensions"


def waiting_texts(found: Sequence[Waiting], settings: Settings) -> list[str]:
    """Give the texts that need vectors."""
    return [text for item in found for text in _texts(item, settings)]


def finish_waiting(found: Sequence[Waiting], embedded: Embedded, settings: Settings) -> list[Worked]:
    """Give each item its vectors, or the reason for which it goes on waiting."""
    model = settings.embedder.model if settings.embedder else ""
    worked = []
    for item in found:
        texts = _texts(item, settings)
        vectors = join_vectors(texts, embedded, model)
        if vectors is None and texts:
            reason = embedded.failure or NO_VECTOR
            worked.append(Worked(id=item.id, version=item.version, reason=reason, again_in_s=_delay_s(item.attempts)))
        else:
            worked.append(Worked(id=item.id, version=item.version, vectors=vectors))
    return worked


def finish_written(
    found: Sequence[Written | None], texts: Sequence[tuple[str, ...]], embedded: Embedded, model: str
) -> list[Worked]:
    """Give items, put a moment ago and still unchanged, the vectors of their texts, or the reason for waiting on."""
    worked = []
    for item, some in zip(found, texts, strict=True):
        if item is not None:
            vectors = join_vectors(some, embedded, model)
            reason = "" if vectors else embedded.failure or NO_VECTOR
            worked.append(Worked(id=item.id, version=item.version, vectors=vectors, reason=reason))
    return worked


def stale_texts(found: Sequence[Indexed], settings: Settings) -> list[str]:
    """Give the texts whose vectors are missing or of another model or another text."""
    return [text for item in found for text in _texts(item, settings) if not _is_fresh(item, settings)]


def finish_reindexing(
    found: Sequence[Indexed], embedded: Embedded, settings: Settings, *, others_embed: bool = False
) -> list[Reindexed]:
    """Give what is to be indexed of each item, as if it were put now; vectors of others stay until there are new ones.

    Args:
        others_embed: whether, where the store has no embedder, the database has vectors of some.
    """
    anew = []
    for item in found:
        index = indexable(decode_value(item.value), item.fields, settings)
        if settings.embedder is None:
            vectors = item.vectors
            waiting = NO_EMBEDDER if others_embed and vectors is None and item.fields != () else None
        elif not index.texts:
            vectors, waiting = None, None
        elif _is_fresh(item, settings):
            vectors, waiting = item.vectors, None
        else:
            vectors = join_vectors(index.texts, embedded, settings.embedder.model)
            waiting = None if vectors else embedded.failure or NO_VECTOR
            if vectors is None and not _is_of(item.vectors, settings.embedder):  # else they are of another text
                vectors = item.vectors
        anew.append(
            Reindexed(
                id=item.id, version=item.version, words=index.words, marks=index.marks, vectors=vectors,
                waiting=waiting,
            )
        )  # fmt: skip
    return anew


def is_indexed_alike(item: Indexed, settings: Settings) -> bool:
    """Say whether the same texts of an item are indexed as these settings would index, by whatever rules and model."""
    index = indexable(decode_value(item.value), item.fields, settings)
    if len(index.words) != TERM_BYTES * item.terms:
        return False
    of_other_texts = item.vectors is not None and item.vectors.hashes != b"".join(map(text_hash, index.texts))
    return settings.embedder is None or not of_other_texts


def _is_fresh(item: Indexed, settings: Settings) -> bool:
    v = item.vectors
    if v is None or settings.embedder is None or not _is_of(v, settings.embedder):
        return False
    return v.hashes == b"".join(map(text_hash, _texts(item, settings)))


def _is_of(vectors: Vectors | None, embedder: Embedder) -> bool:
    return vectors is not None and _is_ours(vectors.model, vectors.dims, embedder.model, embedder.dims)


def _texts(item: Waiting | Indexed, settings: Settings) -> tuple[str, ...]:
    return indexable(decode_value(item.value), item.fields, settings).texts


def _delay_s(attempts: int) -> int:
    """Give the pause before the next try: none after the first two failures, then doubling up to an hour."""
    return 0 if attempts < 2 else min(_MOST_DELAY_S, int(2 ** min(attempts - 1, 20)))
