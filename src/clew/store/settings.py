"""How one store was set up: what is embedded, what a query means, how long memories live. Checked once, then fixed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict, get_args

from msgspec import Struct, field

from clew.errors import UsageError
from clew.store.embedding import MAX_CONCURRENCY, Embedder
from clew.store.expiry import Expiry, check_expiry
from clew.store.history import History, check_history
from clew.store.operations import Mode
from clew.store.paths import WHOLE
from clew.store.words import ENGLISH_FUNCTION_WORDS, Stem, fold, light_stem, remembered

LoadEmbedder = Callable[[str], Any]
CACHE_BYTES = 512 * 2**20
VECTORS_SHARE = 8  # one part in so many of the cache is for vectors that were made lately, the others for searches
_KNOWN = {
    "dims", "embed", "fields", "text_fields", "model", "max_concurrency", "stem", "ignored_words", "context",
    "distance_type",
}  # fmt: skip
_OF_AN_EMBEDDER = ("dims", "model", "max_concurrency")


class IndexConfig(TypedDict, total=False):
    """What a store indexes, as users write it.

    dims: length of the vectors; optional here. embed: function, object or name. fields: paths of the texts (see
    paths), default the whole value. model: name that the vectors are kept under. max_concurrency: the most calls of
    the embedder under way, on one event loop, and of all OS threads together; 8 if left out. stem: from a word to its
    stem, or None for none, and ignored_words: words of a query that find nothing, both used by words search. context:
    whether a hybrid search counts what neighbours in the order of writing say; left out: where the order is seen to
    matter. distance_type: "cosine", the only one there is.
    """

    dims: int
    embed: Any
    fields: list[str] | None
    model: str
    max_concurrency: int
    stem: Stem | None
    ignored_words: Collection[str]
    context: bool | None
    distance_type: Literal["cosine"]


class StoreOptions(TypedDict, total=False):
    """What a store on a database may be opened with; see SqliteStore and PostgresStore."""

    index: Mapping[str, Any] | None
    ttl: Mapping[str, Any] | None
    search_mode: Mode | None
    load_embedder: LoadEmbedder | None
    history: Mapping[str, Any] | bool | None
    filter_fields: Sequence[str]
    clock: Callable[[], datetime] | None
    cache_bytes: int


_LIGHT_STEM = remembered(light_stem)


class Settings(Struct, frozen=True, kw_only=True):
    """A store's checked settings.

    Args:
        embedder: makes vectors; None: there are none.
        fields: paths of the texts that are indexed; None: the texts that carry its meaning.
        mode: what a query means when the search does not say; None: queries are ignored.
        stem: how words are cut before they are compared.
        ignored_words: folded words of a query that find nothing.
        context: whether neighbours count; None: where the order of writing is seen to matter.
        expiry: how long memories live.
        history: which old versions are kept.
    """

    embedder: Embedder | None = None
    fields: tuple[str, ...] | None = None
    mode: Mode | None = None
    stem: Stem | None = _LIGHT_STEM
    ignored_words: frozenset[str] = ENGLISH_FUNCTION_WORDS
    context: bool | None = None
    expiry: Expiry = field(default_factory=Expiry)
    history: History = field(default_factory=History)


_named: list[LoadEmbedder] = []


def name_embedders(load: LoadEmbedder) -> None:
    """Let embedders be given by name from now on; called by the face, which alone knows who makes them."""
    _named[:] = [load]


def check_settings(
    index: Mapping[str, Any] | None,
    ttl: Mapping[str, Any] | None,
    search_mode: Mode | None,
    load: LoadEmbedder | None = None,
    history: Mapping[str, Any] | bool | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> Settings:
    """Read what a store was made with.

    Args:
        index: an IndexConfig or None.
        ttl: a TTLConfig or None.
        search_mode: what a query means; None: its meaning where there is an index, nothing where there is none.
        load: turns an embedder's name into an embedder.
        history: a HistoryConfig, or False to keep no old versions.
        cache_bytes: the most memory for what searches read again and again; an eighth of it is the embedder's.

    Raises:
        UsageError: an unknown setting, or one of the wrong kind.
    """
    expiry, kept = check_expiry(ttl), check_history(history)
    _whole_number(cache_bytes, "cache_bytes", 0)
    check_mode(search_mode)
    if index is None:
        if search_mode == "semantic":
            raise UsageError("search_mode='semantic' needs an embedder: give index={'embed': ...}")
        return Settings(mode=search_mode, expiry=expiry, history=kept)
    _check_index(index)
    mode: Mode = search_mode or "semantic"
    fields = index.get("fields") or index.get("text_fields")
    ignored = index.get("ignored_words")
    by_words_alone = search_mode in ("keyword", "hybrid") and index.get("embed") is None
    if by_words_alone and (idle := [name for name in _OF_AN_EMBEDDER if index.get(name) is not None]):
        raise UsageError(f"{', '.join(idle)}: given without embed, so there is nothing to embed with: give embed, too")
    return Settings(
        embedder=None if by_words_alone else _embedder(index, load, cache_bytes // VECTORS_SHARE),
        fields=check_fields(fields) if fields else ((WHOLE,) if mode == "semantic" else None),
        mode=mode,
        stem=remembered(index["stem"]) if "stem" in index else _LIGHT_STEM,
        ignored_words=frozenset(map(fold, ENGLISH_FUNCTION_WORDS if ignored is None else ignored)),
        context=index.get("context"),
        expiry=expiry,
        history=kept,
    )


def _check_index(index: object) -> None:
    if not isinstance(index, Mapping):
        raise UsageError(f"index is a dictionary such as {{'embed': ..., 'fields': [...]}}, not {index!r}")
    if unknown := set(index) - _KNOWN:
        raise UsageError(f"unknown index settings {sorted(unknown, key=str)}; known are {sorted(_KNOWN)}")
    model, stem, ignored, context = (index.get(name) for name in ("model", "stem", "ignored_words", "context"))
    if not isinstance(model, str | None) or model == "":
        raise UsageError(f"index['model'] is the name that vectors are kept under, a text, not {model!r}")
    if stem is not None and not callable(stem):
        raise UsageError(f"index['stem'] is a function from a word to its stem, or None for none, not {stem!r}")
    words = ignored if isinstance(ignored, Collection) and not isinstance(ignored, str | bytes) else (0,)
    if ignored is not None and not all(isinstance(word, str) for word in words):
        raise UsageError(f"index['ignored_words'] is a collection of words, not {ignored!r}")
    if (distance := index.get("distance_type", "cosine")) != "cosine":
        raise UsageError(
            f"index['distance_type'] is 'cosine', not {distance!r}: vectors are compared by their direction, which "
            "ranks vectors of length 1, as most models make them, just as the others do"
        )
    if not isinstance(context, bool | None):
        raise UsageError(f"index['context'] is True, False or None, not {context!r}")


def check_mode(mode: object) -> None:
    """Raise UsageError when this is no way to search."""
    if mode is not None and mode not in get_args(Mode):
        raise UsageError(f"search mode {mode!r} is unknown: there are 'semantic', 'keyword' and 'hybrid'")


def check_fields(fields: object) -> tuple[str, ...]:
    """Give the paths to index.

    Raises:
        UsageError: not a list of text.
    """
    if isinstance(fields, str) or not isinstance(fields, (list, tuple)) or not all(isinstance(f, str) for f in fields):
        raise UsageError(f"index fields are a list of paths such as ['text'], or False for no index, not {fields!r}")
    return tuple(fields)


def _embedder(index: Mapping[str, Any], load: LoadEmbedder | None, cache_bytes: int) -> Embedder:
    given, dims, model = index.get("embed"), index.get("dims"), index.get("model")
    if given is None:
        raise UsageError("an index needs an embedder: index={'embed': function, object or name, ...}")
    if dims is not None and (isinstance(dims, bool) or not isinstance(dims, int) or dims < 1):
        raise UsageError(f"dims is the length of the vectors, a whole number above 0, not {dims!r}")
    if isinstance(given, str):
        loaders = [load] if load else _named
        if not loaders:
            raise UsageError(f"the embedder {given!r} was given by name; give the function or object itself")
        given, model = loaders[0](given), model or given
    most = _whole_number(index.get("max_concurrency", MAX_CONCURRENCY), "index['max_concurrency']", 1)
    return Embedder(given, dims=dims, model=model, max_concurrency=most, cache_bytes=cache_bytes)


def _whole_number(value: object, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name} is a whole number of at least {least}, not {value!r}")
    return value
