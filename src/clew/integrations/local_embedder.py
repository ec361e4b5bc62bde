"""Texts to vectors on this machine: no key, no server, no download. It knows nothing of the store that calls it.

The vectors are wordllama's, whose weights (256 dimensions, English first) come inside its package.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Generator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from clew.errors import MissingDependency

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIMS = 256
_WORD = re.compile(" +[^ ]+")
_LONGEST_KNOWN = 32  # characters


class LocalEmbedder:
    """An embedder that works offline, for `index={"embed": LocalEmbedder(), "dims": 256}`.

    Making one costs nothing; the model is loaded at the first text, once per process, and may be used from any OS
    thread. Equal texts give equal vectors, whatever else is embedded with them.
    """

    name: ClassVar[str] = "local"
    dims: ClassVar[int] = DIMS
    adds_words: ClassVar[bool] = True  # a text's vector is the mean of its tokens', so a query's words can be weighted

    at_once: ClassVar[bool] = True

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts that are to be found.

        Returns:
            one vector per text: `dims` float32 values of length 1, or all zero where a text has nothing to embed.

        Raises:
            MissingDependency: the extra `local` is not installed.
        """
        import numpy as np

        sums = self.embed_arrays(texts)
        lengths = np.sqrt(np.einsum("ij,ij->i", sums, sums))
        lengths[lengths == 0] = 1
        vectors: list[list[float]] = (sums / lengths[:, None]).tolist()
        return vectors

    def embed_arrays(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts into the rows of one array, of which only the directions mean something.

        Raises:
            MissingDependency: the extra `local` is not installed.
        """
        import numpy as np

        sums: NDArray[np.float32] = np.zeros((len(texts), DIMS), dtype=np.float32)
        model = _model()
        for row, text in enumerate(texts):
            if tokens := _tokens(text):
                np.add.reduce(model.embedding.take(tokens, axis=0, mode="clip"), axis=0, out=sums[row])
        return sums

    def embed_query(self, text: str) -> list[float]:
        """Embed one text that asks.

        Returns:
            one vector, as in `embed_documents`.

        Raises:
            MissingDependency: the extra `local` is not installed.
        """
        return self.embed_documents([text])[0]


def _tokens(text: str) -> list[int]:
    """Give the tokens of a text, word by word: no token of this model goes on behind a space.

    Words come again and again, and to look one up takes a fraction of what the tokenizer takes.
    """
    # The first of the spaces before a word is what the tokenizer itself puts before a text.
    words = [word[1:] for word in _WORD.findall(" " + text.strip())]
    return [token for word in words for token in (_known if len(word) <= _LONGEST_KNOWN else _tokenize)(word)]


def _tokenize(word: str) -> list[int]:
    tokens: list[int] = _model().tokenizer.encode(word, add_special_tokens=False).ids
    return tokens


_known = lru_cache(maxsize=16384)(_tokenize)


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
