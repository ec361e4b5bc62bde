"""From what was asked to what an engine carries out: everything checked, embedded and encoded before a transaction.

Two steps, so that the embedder may be called in either colour between them: `draft_*` checks and says which texts
need vectors, `finish_*` puts the vectors in. Nothing here touches a database or a clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from clew.errors import InvalidValue, UsageError
from clew.store import words
from clew.store.codes import code_of
from clew.store.embedding import HASH_BYTES, Embedded, text_hash
from clew.store.expiry import ttl_us
from clew.store.filters import Filter, parse_filter
from clew.store.history import Past, check_as_of
from clew.store.indexable import indexable
from clew.store.listing import PreparedListing, check_listing
from clew.store.marks import named_in
from clew.store.namespaces import check_labels, check_namespace
from clew.store.operations import (
    GetOp,
    HistoryOp,
    ListNamespacesOp,
    Mode,
    Namespace,
    Op,
    PutOp,
    SearchOp,
    Writer,
)
from clew.store.settings import Settings, check_fields, check_mode
from clew.store.values import check_key, copy_value, encode_value, whole_number

_MOST_WORDS = 64
NO_EMBEDDER = "it was put where there was no embedder"  # counts only where others have embedded something
UNANSWERED = "the embedder has not answered yet"


class Vectors(Struct, frozen=True, kw_only=True):
    """The vectors of one item.

    Args:
        model: name of the embedder that made them; vectors of two models are never compared.
        hashes: 16 bytes per embedded text.
        data: float32 bytes, the vectors of length 1 one after another, as many as hashes.
    """

    model: str
    hashes: bytes
    data: bytes

    @property
    def dims(self) -> int:
        """The length of each vector."""
        return len(self.data) * HASH_BYTES // (4 * len(self.hashes))

    @property
    def codes(self) -> bytes:
        """The vectors' codes, one after another; see clew.store.codes."""
        return code_of(self.data, self.dims)


class PreparedWrite(Struct, frozen=True, kw_only=True):
    """A put or delete, ready to be applied inside a transaction.

    Args:
        value: JSON bytes; None deletes.
        ttl_us: how long the item lives; None: for ever.
        if_version: the version that it must replace; None: any.
        fields: paths indexed for this item instead of the store's; empty: none.
        words: 32-bit hashes of its terms, with repetitions.
        marks: what else a search knows of it; see marks.
        vectors: of its texts; None: it has none, or still waits for them.
        waiting: why its vectors are still to be made; None: they are not. NO_EMBEDDER counts as None where the
            database has no vectors of any embedder.
        keeps: how many old versions of the item are kept; 0: what is replaced or deleted is gone.
        writer: the run that writes; None where no run does.
    """

    namespace: Namespace
    key: str
    value: bytes | None = None
    ttl_us: int | None = None
    if_version: int | None = None
    fields: tuple[str, ...] | None = None
    words: bytes = b""
    marks: bytes = b""
    vectors: Vectors | None = None
    waiting: str | None = None
    keeps: int = 0
    writer: Writer | None = None


class PreparedGet(Struct, frozen=True, kw_only=True):
    """A checked GetOp."""

    namespace: Namespace
    key: str
    refresh: bool
    past: Past | None = None


class PreparedSearch(Struct, frozen=True, kw_only=True):
    """A checked SearchOp; `mode` is None when nothing is ranked, `vector` when meaning takes no part.

    Args:
        words: the query's distinct terms, hashed.
        names: hashes of what in the query could name a field's value.
        vector: float32 bytes of the query.
        word_vectors: float32 bytes of each of the query's words, with the hash of its term; empty: not weighted.
        model: whose vectors it may be compared with.
        dims: their length; 0 where that is not known.
        context: whether neighbours count; None: where the order of writing is seen to matter.
        past: when it is to be as if asked; None: now.
    """

    prefix: Namespace
    condition: Filter | None
    limit: int
    offset: int
    refresh: bool
    mode: Mode | None = None
    query: str = ""
    words: tuple[int, ...] = ()
    names: frozenset[int] = frozenset()
    vector: bytes | None = None
    word_vectors: tuple[tuple[int, bytes], ...] = ()
    model: str = ""
    dims: int = 0
    context: bool | None = None
    min_score: float | None = None
    explain: bool = False
    past: Past | None = None


class PreparedHistory(Struct, frozen=True, kw_only=True):
    """A checked HistoryOp."""

    namespace: Namespace
    key: str


PreparedRead = PreparedGet | PreparedSearch | PreparedListing | PreparedHistory


class Draft(Struct, frozen=True, kw_only=True):
    """A checked put before its texts are embedded."""

    write: PreparedWrite
    texts: tuple[str, ...] = ()


def draft_write(op: PutOp, settings: Settings) -> Draft:
    """Check a put and find the texts that need vectors.

    Raises:
        UsageError: InvalidNamespaceError, InvalidValue, or an index that is no list of paths.
    """
    namespace, key = check_namespace(op.namespace), check_key(op.key)
    if_version = None if op.if_version is None else whole_number(op.if_version, "if_version")
    keeps = settings.history.versions
    if op.value is None:
        return Draft(write=PreparedWrite(namespace=namespace, key=key, if_version=if_version, keeps=keeps))
    value = copy_value(op.value)
    fields = _fields(op.index)
    index = indexable(value, fields, settings)
    write = PreparedWrite(
        namespace=namespace,
        key=key,
        value=encode_value(value),
        ttl_us=None if op.ttl is None else ttl_us(op.ttl),
        if_version=if_version,
        fields=fields,
        words=index.words,
        marks=index.marks,
        waiting=NO_EMBEDDER if settings.embedder is None and fields != () else None,
        keeps=keeps,
    )
    return Draft(write=write, texts=index.texts)


def finish_write(draft: Draft, embedded: Embedded, settings: Settings) -> PreparedWrite:
    """Put the vectors into a drafted write, or the reason why it waits for them."""
    if not draft.texts or settings.embedder is None:
        return draft.write
    vectors = join_vectors(draft.texts, embedded, settings.embedder.model)
    waiting = None if vectors else embedded.failure or UNANSWERED
    return replace(draft.write, vectors=vectors, waiting=waiting)


def join_vectors(texts: Sequence[str], embedded: Embedded, model: str) -> Vectors | None:
    """Give the vectors of an item's texts; None when one of them is missing."""
    found = [embedded.vectors.get(text) for text in texts]
    if not texts or None in found:
        return None
    return Vectors(model=model, hashes=b"".join(map(text_hash, texts)), data=b"".join(v for v in found if v))


def draft_read(op: Op, settings: Settings) -> PreparedRead:
    """Check a read; a search that needs the query's vector gets it later, by `with_vector`.

    Raises:
        UsageError: InvalidNamespaceError, InvalidFilter, InvalidValue, or a mode that this store cannot serve.
    """
    match op:
        case GetOp():
            return draft_get(op)
        case HistoryOp():
            return PreparedHistory(namespace=check_namespace(op.namespace), key=check_key(op.key))
        case ListNamespacesOp():
            return check_listing(op)
        case SearchOp():
            return _draft_search(op, settings)
        case _:
            raise UsageError(f"{op!r} is no operation of a store: use GetOp, PutOp, SearchOp, HistoryOp, ...")


def draft_get(op: GetOp) -> PreparedGet:
    """Check a GetOp.

    Raises:
        UsageError: InvalidNamespaceError or InvalidValue.
    """
    return PreparedGet(
        namespace=check_namespace(op.namespace), key=check_key(op.key), refresh=bool(op.refresh_ttl),
        past=None if op.as_of is None else check_as_of(op.as_of),
    )  # fmt: skip


def with_vectors(
    search: PreparedSearch, vector: bytes, words: Sequence[tuple[str, int]] = (), vectors: Sequence[bytes] = ()
) -> PreparedSearch:
    """Give the search with its query's vector, and those of the query's words, each with the hash of its term."""
    terms = (term for _, term in words)
    return replace(
        search, vector=vector, dims=len(vector) // 4, word_vectors=tuple(zip(terms, vectors, strict=True))
    )  # fmt: skip


def words_to_embed(search: PreparedSearch, settings: Settings) -> list[tuple[str, int]]:
    """Give the words whose vectors are weighted one by one, each with the hash of its term; most searches have none."""
    if search.mode != "hybrid" or settings.embedder is None or not settings.embedder.adds_words:
        return []
    return words.query_words(search.query, settings.stem)[:_MOST_WORDS]


def _draft_search(op: SearchOp, settings: Settings) -> PreparedSearch:
    mode = _mode(op, settings)
    query = op.query if mode and op.query else ""
    return PreparedSearch(
        prefix=check_labels(op.namespace_prefix, what="prefix"),
        condition=parse_filter(op.filter),
        limit=whole_number(op.limit, "limit"),
        offset=whole_number(op.offset, "offset"),
        refresh=bool(op.refresh_ttl),
        mode=mode if query else None,
        query=query,
        words=words.query_hashes(query, settings.stem, settings.ignored_words) if query else (),
        names=named_in(query) if query and mode == "hybrid" else frozenset(),
        model=settings.embedder.model if settings.embedder else "",
        dims=(settings.embedder.dims or 0) if settings.embedder else 0,
        context=settings.context,
        min_score=_checked_score(op.min_score),
        explain=op.explain,
        past=check_as_of(op.as_of),
    )


def _checked_score(least: object) -> float | None:
    if least is None or (isinstance(least, int | float) and not isinstance(least, bool) and least == least):
        return least
    raise InvalidValue(f"min_score is a number or None, not {least!r}")


def _mode(op: SearchOp, settings: Settings) -> Mode | None:
    if op.query is not None and not isinstance(op.query, str):
        raise InvalidValue(f"a query is text, not {op.query!r}")
    check_mode(op.mode)
    mode = op.mode or settings.mode
    if mode == "semantic" and settings.embedder is None:
        raise UsageError("mode='semantic' needs an embedder, and this store has none: use mode='hybrid' or 'keyword'")
    return mode


def _fields(index: object) -> tuple[str, ...] | None:
    if index is None:
        return None
    return () if index is False else check_fields(index)
