"""Embedders by name: "local", "openai:MODEL", "PROVIDER:MODEL". It decides who is meant, and embeds nothing itself."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Protocol

from clew.errors import MissingDependency, UsageError


class Embedder(Protocol):
    """What turns texts into vectors; LangChain's `Embeddings` are of this shape too."""

    def embed_documents(self, texts: list[str]) -> Sequence[Sequence[float]]:
        """Embed texts that are to be found; one vector per text, in order."""
        ...

    def embed_query(self, text: str) -> Sequence[float]:
        """Embed one text that asks."""
        ...


def embedder_named(name: str) -> Embedder:
    """Give the embedder that a name stands for.

    Args:
        name: "local" (offline, 256 dimensions), "openai:MODEL" by OpenAI's SDK, or "PROVIDER:MODEL" by LangChain,
            for example "openai:text-embedding-3-small" or "mistralai:mistral-embed".

    Raises:
        UsageError: the name has none of these forms, OpenAI's key is missing, or LangChain does not know the provider.
        MissingDependency: the package that it needs is not installed.
    """
    if name == "local":
        from clew.integrations.local_embedder import LocalEmbedder

        return LocalEmbedder()
    provider, colon, model = name.partition(":")
    if not (provider and colon and model):
        raise UsageError(
            f"no embedder is called {name!r}; write 'local', 'openai:MODEL' or 'PROVIDER:MODEL', "
            "such as 'openai:text-embedding-3-small'"
        )
    if provider == "openai":
        from clew.integrations.openai_embedder import OpenAIEmbedder

        return OpenAIEmbedder(model)
    return _langchain_embedder(name)


def _langchain_embedder(name: str) -> Embedder:
    try:
        langchain = importlib.import_module("langchain.embeddings")  # installed by few: no types to import it with
    except ImportError as error:
        raise MissingDependency(
            f"the embedder {name!r} is made by LangChain: pip install langchain langchain-{name.partition(':')[0]}"
        ) from error
    try:
        embedder: Embedder = langchain.init_embeddings(name)
    except ImportError as error:
        raise MissingDependency(f"the embedder {name!r} needs a package of LangChain's: {error}") from error
    except ValueError as error:
        raise UsageError(f"LangChain makes no embedder of {name!r}: {error}") from error
    return embedder
