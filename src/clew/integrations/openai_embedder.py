"""Texts to vectors by OpenAI's official SDK. The client reads its key and address from the environment, as always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clew.errors import MissingDependency, UsageError

_MOST_PER_REQUEST = 512  # the service takes up to 2048 texts, and 300,000 tokens over all of them


class OpenAIEmbedder:
    """An embedder for `index={"embed": ...}` that asks OpenAI, or any service that speaks its protocol.

    Args:
        model: name of the embedding model, such as "text-embedding-3-small".
        client: an `openai.OpenAI` client; one is made from the environment when none is given.

    Raises:
        MissingDependency: the extra `openai` is not installed.
        UsageError: no client is given, and the environment has no key.
    """

    def __init__(self, model: str, *, client: Any = None) -> None:
        self.model = model
        self.name = f"openai:{model}"
        self._client = _client() if client is None else client

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts that are to be found; one vector per text, in order.

        Raises:
            openai.OpenAIError: as the SDK raises it.
        """
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _MOST_PER_REQUEST):
            batch = texts[start : start + _MOST_PER_REQUEST]
            # The service refuses a text of no characters, and one such text would fail the whole batch.
            answer = self._client.embeddings.create(model=self.model, input=[text or " " for text in batch])
            vectors += [found.embedding for found in sorted(answer.data, key=lambda found: int(found.index))]
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Embed one text that asks.

        Raises:
            openai.OpenAIError: as the SDK raises it.
        """
        return self.embed_documents([text])[0]


def _client() -> Any:
    try:
        import openai
    except ImportError as error:
        raise MissingDependency("an 'openai:' embedder needs the openai SDK: pip install 'clew[openai]'") from error
    try:
        return openai.OpenAI()
    except openai.OpenAIError as error:
        raise UsageError(
            "an 'openai:' embedder needs a key: set OPENAI_API_KEY, or give OpenAIEmbedder(model, client=...)"
        ) from error
