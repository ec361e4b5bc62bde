"""Texts to vectors on this machine: no key, no server, no download. It knows nothing of the store that calls it.

The vectors are wordllama's, whose weights (256 dimensions, English first) come inside its package.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from clew.errors import MissingDependency

DIMS = 256


class LocalEmbedder:
    """An embedder that works offline, for `index={"embed": LocalEmbedder(), "dims": 256}`.

    Making one costs nothing; the model is loaded at the first text, once per process, and may be used from any OS
    thread. Equal texts give equal vectors, whatever else is embedded with them.
    """

    dims: ClassVar[int] = DIMS
    adds_words: ClassVar[bool] = True  # a text's vector is the mean of its tokens', so a query's words can be weighted

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts that are to be found.

        Returns:
            one vector per text: `dims` float32 values of length 1, or all zero where a text has nothing to embed.

        Raises:
            MissingDependency: the extra `local` is not installed.
        """
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Embed one text that asks.

        Returns:
            one vector, as in `embed_documents`.

        Raises:
            MissingDependency: the extra `local` is not installed.
        """
        # One by one: in a batch every text is padded to the longest, which one long text makes enormous.
        vector = _model().embed([text])[0] if text.strip() else _zeros()
        length = float((vector @ vector) ** 0.5)
        values: list[float] = (vector / length if length else vector).tolist()
        return values


_loaded: Any = None
_loading = threading.Lock()


def _model() -> Any:
    global _loaded
    if _loaded is None:
        with _loading:
            if _loaded is None:
                _loaded = _load()
    return _loaded


def _load() -> Any:
    try:
        with _logging_left_alone():
            import wordllama  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise MissingDependency("the local embedder needs wordllama: pip install 'clew[local]'") from error
    # Both arguments keep its downloader out of reach: what the package does not carry is an error, not a request.
    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, dim=DIMS, disable_download=True)


@contextlib.contextmanager
def _logging_left_alone() -> Generator[None]:
    """Keep wordllama from configuring the application's root logger, as its import does where nobody has yet."""
    placeholder = logging.NullHandler()
    logging.getLogger().addHandler(placeholder)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(placeholder)


def _zeros() -> Any:
    import numpy

    return numpy.zeros(DIMS, dtype=numpy.float32)
