"""Adapts whatever the user gave as an embedder: texts in, checked vectors out, equal texts embedded once.

A failing embedder is an outcome here, not an exception: a memory is never lost because of it (see planning). No more
than a number of calls are under way at a time: of OS threads together, and on each event loop.
Nothing of items or databases; the only outside thing it calls is what the user gave.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from clew.errors import EmbeddingError, UsageError
from clew.late import late
from clew.store.embedder_calls import (
    LoopTurns,
    OwnThreads,
    Parts,
    WrongAnswer,
    finish,
    is_failure,
    is_failure_here,
    reason_of,
)

if TYPE_CHECKING:
    import asyncio
else:
    late(globals(), "asyncio")

log = logging.getLogger("clew.store")

TextsToVectors = Callable[[Sequence[str]], Any]
HASH_BYTES = 16
_MOST_PER_CALL = 256
MAX_CONCURRENCY = 8
CACHE_BYTES = 32 * 2**20
_LONGEST_NAME = 64  # characters
_BYTES_PER_ENTRY = 250  # what Python needs to keep a vector and its name, about


class Embedded(Struct, frozen=True):
    """What an embedder answered.

    Args:
        vectors: per text, its float32 bytes, of length 1; texts that failed are missing.
        failure: what went wrong, or None.
    """

    vectors: dict[str, bytes] = field(default_factory=dict)
    failure: str | None = None


def text_hash(text: str) -> bytes:
    """Give the 16 bytes by which an embedded text is recognised."""
    return blake2b(text.encode("utf-8", "replace"), digest_size=HASH_BYTES).digest()


class Embedder:
    """An embedder as the store uses it.

    Args:
        given: a function from texts to vectors (sync or async), or an object with `embed_documents` and
            `embed_query`, or their async forms, or both.
        dims: length of its vectors; None: whatever the first one has.
        model: name under which its vectors are kept; vectors of other models are never compared with them.
        max_concurrency: calls of the embedder under way, on each event loop and of all OS threads.
        cache_bytes: the most memory for vectors that were made lately, so that equal texts are not embedded again.

    Raises:
        UsageError: `given` is neither.
    """

    def __init__(
        self,
        given: Any,
        *,
        dims: int | None = None,
        model: str | None = None,
        max_concurrency: int = MAX_CONCURRENCY,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.model = model or model_name(given)
        self.dims = dims
        self.answers = 0  # how many calls of it gave vectors
        # Whether a text's vector is about the sum of its words', so that a query's words may be weighted one by one.
        self.adds_words = bool(getattr(given, "adds_words", False))
        # Whether it answers within microseconds and cannot be out, so that a write may wait for it.
        self.at_once = bool(getattr(given, "at_once", False))
        self._documents, self._adocuments = _documents_of(given)
        self._query, self._aquery = _query_of(given)
        self._cache: OrderedDict[tuple[bool, str | bytes], bytes] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._cached_bytes = 0
        self._lock = threading.Lock()
        self._loop_turns = LoopTurns(max_concurrency)
        self._own_threads = OwnThreads(max_concurrency)

    def known(self, texts: Sequence[str]) -> Embedded:
        """Give the vectors that were made lately, without asking for any."""
        return Embedded(self._known(texts)[0])

    def documents(self, texts: Sequence[str]) -> Embedded:
        """Embed the texts of items; a failure is part of the answer."""
        known, missing = self._known(texts)
        failure = None
        for chunk in _chunks(missing):
            failed = self._embed_chunk(chunk, known)
            failure = failure or failed
            if failed and known.keys().isdisjoint(chunk):
                break  # nothing works
        return Embedded(known, failure)

    async def adocuments(self, texts: Sequence[str]) -> Embedded:
        """Embed the texts of items off the event loop; a failure is part of the answer."""
        known, missing = self._known(texts)
        failures = await asyncio.gather(*(self._aembed_chunk(chunk, known) for chunk in _chunks(missing)))
        return Embedded(known, next(filter(None, failures), None))

    def _embed_chunk(self, chunk: list[str], known: dict[str, bytes]) -> str | None:
        """Embed the texts of a chunk, add their vectors to `known`, and say what went wrong."""
        parts = Parts(chunk)
        while part := parts.next():
            try:
                known.update(self._keep(part, self._call(part)))
            except BaseException as error:
                if not is_failure(error):
                    raise
                parts.fail(error)
        return parts.failure

    async def _aembed_chunk(self, chunk: list[str], known: dict[str, bytes]) -> str | None:
        """Like `_embed_chunk`, off the event loop."""
        parts = Parts(chunk)
        while part := parts.next():
            try:
                known.update(self._keep(part, await self._acall(part)))
            except BaseException as error:
                if not is_failure_here(error):
                    raise
                parts.fail(error)
        return parts.failure

    def query(self, text: str) -> bytes:
        """Embed the text of a query.

        Raises:
            EmbeddingError: the embedder failed, cause kept.
        """
        if (cached := self._cached(text, query=True)) is not None:
            return cached
        try:
            if self._query is not None:
                with self._own_threads.turn():
                    vector = finish(self._query(text))
            elif self._aquery is not None:
                with self._own_threads.turn():
                    vector = finish(self._aquery(text))
            else:
                return self._keep([text], self._call([text]), query=True)[text]
        except BaseException as error:
            if not is_failure(error):
                raise
            raise self._failed(error) from error
        return self._keep([text], [vector], query=True)[text]

    async def aquery(self, text: str) -> bytes:
        """Embed the text of a query off the event loop.

        Raises:
            EmbeddingError: the embedder failed, cause kept.
        """
        if (cached := self._cached(text, query=True)) is not None:
            return cached
        try:
            if self._aquery is not None:
                async with self._loop_turns.turn():
                    vector = await self._aquery(text)
            elif self._query is not None:
                vector = await self._aside(self._query, text)
            else:
                return self._keep([text], await self._acall([text]), query=True)[text]
        except BaseException as error:
            if not is_failure_here(error):
                raise
            raise self._failed(error) from error
        return self._keep([text], [vector], query=True)[text]

    def words(self, words: Sequence[str]) -> list[bytes]:
        """Give a vector for each word.

        Raises:
            EmbeddingError: the embedder failed.
        """
        return _of_each(words, self.documents(words))

    async def awords(self, words: Sequence[str]) -> list[bytes]:
        """Give a vector for each word, off the event loop.

        Raises:
            EmbeddingError: the embedder failed.
        """
        return _of_each(words, await self.adocuments(words))

    def _call(self, texts: list[str]) -> Any:
        with self._own_threads.turn():
            if self._documents is not None:
                return finish(self._documents(texts))
            assert self._adocuments is not None
            return finish(self._adocuments(texts))

    async def _acall(self, texts: list[str]) -> Any:
        if self._adocuments is not None:
            async with self._loop_turns.turn():
                return await self._adocuments(texts)
        assert self._documents is not None
        return await self._aside(self._documents, texts)

    async def _aside(self, function: Callable[[Any], Any], given: Any) -> Any:
        """Call a blocking embedder off the event loop; its answer may be one to await all the same."""
        answer = await self._own_threads.call(function, given)
        if not inspect.isawaitable(answer):
            return answer
        async with self._loop_turns.turn():
            return await answer

    def _failed(self, error: BaseException) -> EmbeddingError:
        return EmbeddingError(f"the embedder {self.model!r} failed on the query: {reason_of(error)}")

    def _known(self, texts: Sequence[str]) -> tuple[dict[str, bytes], list[str]]:
        """Give the cached vectors, and each distinct text that has none."""
        known: dict[str, bytes] = {}
        missing: list[str] = []
        for text in dict.fromkeys(texts):
            if (vector := self._cached(text, query=False)) is None:
                missing.append(text)
            else:
                known[text] = vector
        return known, missing

    def _cached(self, text: str, *, query: bool) -> bytes | None:
        name = _name(text, query)
        with self._lock:
            if (vector := self._cache.get(name)) is not None:
                self._cache.move_to_end(name)
            return vector

    def _keep(self, texts: list[str], answer: Any, *, query: bool = False) -> dict[str, bytes]:
        vectors = self._check(texts, answer)
        with self._lock:
            self.answers += 1
            for text, vector in vectors.items():
                if self._cache.setdefault(_name(text, query), vector) is vector:
                    self._cached_bytes += len(vector) + _BYTES_PER_ENTRY
            while self._cached_bytes > self._cache_bytes and self._cache:
                self._cached_bytes -= len(self._cache.popitem(last=False)[1]) + _BYTES_PER_ENTRY
        return vectors

    def _check(self, texts: list[str], answer: Any) -> dict[str, bytes]:
        """Turn the embedder's answer into float32 bytes of vectors of length 1; zero vectors stay zero.

        Raises:
            EmbeddingError: not one vector of finite numbers of the right length for each text.
        """
        import numpy as np

        try:
            with np.errstate(over="ignore"):  # what is too large is refused below
                matrix = np.asarray(answer, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise WrongAnswer(f"the embedder {self.model!r} gave no vectors of equal length: {error}") from error
        if matrix.ndim != 2 or len(matrix) != len(texts):
            raise WrongAnswer(
                f"the embedder {self.model!r} gave an answer of shape {matrix.shape} for {len(texts)} texts; "
                "it must give one vector for each"
            )
        if matrix.shape[1] == 0 or (self.dims is not None and matrix.shape[1] != self.dims):
            raise WrongAnswer(
                f"the embedder {self.model!r} gave vectors of length {matrix.shape[1]}, declared is dims={self.dims}"
            )
        lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
        if not np.isfinite(lengths).all():
            raise EmbeddingError(f"the embedder {self.model!r} gave a vector that is not finite")
        self.dims = size = matrix.shape[1]
        lengths[lengths == 0] = 1
        data = (matrix / lengths[:, None]).astype("<f4").tobytes()
        return {text: data[4 * size * row : 4 * size * (row + 1)] for row, text in enumerate(texts)}


def model_name(given: Any) -> str:
    """Give the name under which the vectors of an embedder are kept when the user gave none.

    One that can be asked for by name has that name, however it is given: "local", "openai:MODEL", "PROVIDER:MODEL".
    """
    if isinstance(name := getattr(given, "name", None), str) and name:
        return name
    package = type(given).__module__.partition(".")[0]
    provider = package.removeprefix("langchain_")
    maker = type(given).__name__ if provider in (package, "community") else provider
    for attribute in ("model", "model_name", "model_id"):
        if isinstance(name := getattr(given, attribute, None), str) and name:
            return f"{maker}:{name}"
    return str(getattr(given, "__qualname__", None) or type(given).__qualname__)


def _documents_of(given: Any) -> tuple[TextsToVectors | None, Callable[[Sequence[str]], Awaitable[Any]] | None]:
    if _gives_arrays(given):
        return given.embed_arrays, None
    sync, asynchronous = getattr(given, "embed_documents", None), getattr(given, "aembed_documents", None)
    if sync is not None or asynchronous is not None:
        return sync, asynchronous
    if not callable(given):
        raise UsageError(
            f"{given!r} is no embedder: give a function from texts to vectors, an object with embed_documents and "
            "embed_query, or a name such as 'local'"
        )
    function: Any = given
    if inspect.iscoroutinefunction(given) or inspect.iscoroutinefunction(getattr(given, "__call__", None)):  # noqa: B004
        return None, function
    return function, None


def _query_of(given: Any) -> tuple[Callable[[str], Any] | None, Callable[[str], Awaitable[Any]] | None]:
    if _gives_arrays(given):
        return None, None  # a query is a text like others
    return getattr(given, "embed_query", None), getattr(given, "aembed_query", None)


def _gives_arrays(given: Any) -> bool:
    """Say whether it spares the way over lists of floats, which takes longer than a word's vector itself."""
    return getattr(given, "embed_arrays", None) is not None


def _name(text: str, query: bool) -> tuple[bool, str | bytes]:
    """Name a text, as briefly as it is quick to do."""
    return query, text if len(text) <= _LONGEST_NAME else text_hash(text)


def _of_each(words: Sequence[str], embedded: Embedded) -> list[bytes]:
    if embedded.failure is not None:
        raise EmbeddingError(embedded.failure)
    return [embedded.vectors[word] for word in words]


def _chunks(texts: list[str]) -> list[list[str]]:
    return [texts[i : i + _MOST_PER_CALL] for i in range(0, len(texts), _MOST_PER_CALL)]
