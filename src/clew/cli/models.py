"""Who answers in `clew chat`: Anthropic or OpenAI by their official SDKs, or nobody but the memories."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from clew.cli.assistant import Answers, Message
from clew.errors import MissingDependency, UsageError

KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
_DEFAULTS = {"anthropic": "claude-sonnet-5-5", "openai": "gpt-5.4-mini"}
_MOST_TOKENS = 4096
_NOTHING_SAID = "(The model gave no text.)"


def choose_model(wanted: str | None, environ: Mapping[str, str]) -> Answers:
    """Choose who answers, by name or by the keys that are there.

    Args:
        wanted: "PROVIDER:MODEL", a model of the only provider whose key is set, "offline", or None to choose by keys.
        environ: where the keys are looked up.

    Raises:
        UsageError: the provider is unknown, its key is missing, or it is not clear which one is meant.
        MissingDependency: the provider's SDK is not installed.
    """
    provided = [provider for provider, key in KEYS.items() if environ.get(key)]
    if wanted == "offline" or (wanted is None and not provided):
        return Offline()
    provider, model = _split(wanted or "", provided)
    if provider not in provided:
        raise UsageError(f"the model {wanted!r} needs a key: set {KEYS[provider]}")
    name = model or _DEFAULTS[provider]
    return AnthropicModel(name) if provider == "anthropic" else OpenAIModel(name)


def _split(wanted: str, provided: list[str]) -> tuple[str, str]:
    provider, colon, model = wanted.partition(":")
    if colon and provider in KEYS:
        return provider, model
    if not provided:
        raise UsageError(f"the model {wanted!r} needs a key: set {' or '.join(KEYS.values())}")
    if wanted and len(provided) > 1:
        choices = " or ".join(f"{provider}:{wanted}" for provider in KEYS)
        raise UsageError(f"keys for several providers are set, so say whose model {wanted!r} is: {choices}")
    return provided[0], wanted


class Offline:
    """Nobody: says so, and shows the memories that come closest."""

    name = "nobody (offline: no language model)"
    failures: tuple[type[Exception], ...] = ()

    async def reply(self, messages: list[Message], remembered: list[str], kept: str | None) -> AsyncIterator[str]:
        """Say what was kept, or which memories are nearest to the last message."""
        if kept:
            yield f"Kept: {kept}"
        elif remembered:
            yield "I am offline, so I cannot answer. Of what I remember, this comes closest:"
            for memory in remembered:
                yield f"\n  - {memory}"
        else:
            yield 'I am offline, and nothing that I remember fits. Say "Remember: ..." and I will keep it.'


class AnthropicModel:
    """A model of Anthropic's, streamed. Key and address come from the environment, as the SDK reads them."""

    def __init__(self, model: str) -> None:
        try:
            import anthropic
        except ImportError as error:
            raise _missing("anthropic") from error
        self.name = f"{model} (Anthropic)"
        self.failures: tuple[type[Exception], ...] = (anthropic.AnthropicError,)
        self._model = model
        self._client = anthropic.AsyncAnthropic

    async def reply(self, messages: list[Message], remembered: list[str], kept: str | None) -> AsyncIterator[str]:
        """Stream the model's text."""
        conversation: Any = _plain(messages)
        system = _system_prompt(remembered, kept)
        async with (
            self._client() as client,
            client.messages.stream(
                model=self._model, max_tokens=_MOST_TOKENS, system=system, messages=conversation
            ) as stream,
        ):
            async for piece in _something(stream.text_stream):
                yield piece


class OpenAIModel:
    """A model of OpenAI's, or of a service that speaks its Chat Completions, streamed."""

    def __init__(self, model: str) -> None:
        try:
            import openai
        except ImportError as error:
            raise _missing("openai") from error
        self.name = f"{model} (OpenAI)"
        self.failures: tuple[type[Exception], ...] = (openai.OpenAIError,)
        self._model = model
        self._client = openai.AsyncOpenAI

    async def reply(self, messages: list[Message], remembered: list[str], kept: str | None) -> AsyncIterator[str]:
        """Stream the model's text."""
        conversation: Any = [{"role": "system", "content": _system_prompt(remembered, kept)}, *_plain(messages)]
        async with self._client() as client:
            chunks = await client.chat.completions.create(model=self._model, messages=conversation, stream=True)
            texts = (chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices)
            async for piece in _something(texts):
                yield piece


def _system_prompt(remembered: list[str], kept: str | None) -> str:
    lines = ["You are a helpful assistant in a terminal. Answer briefly and in plain text."]
    if remembered:
        lines += ["What you know about the user from earlier conversations:", *(f"- {memory}" for memory in remembered)]
    if kept:
        lines.append(f"You have just stored this for later conversations, as the user asked: {kept}")
    return "\n".join(lines)


def _plain(messages: list[Message]) -> list[Message]:
    return [{"role": message["role"], "content": message["content"]} for message in messages]


async def _something(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """Pass on what is not empty, and a remark where nothing came: providers refuse empty messages later on."""
    said = False
    async for piece in pieces:
        if piece:
            said = True
            yield piece
    if not said:
        yield _NOTHING_SAID


def _missing(provider: str) -> MissingDependency:
    return MissingDependency(
        f"{KEYS[provider]} is set, but the {provider} SDK is not installed: "
        f"pip install 'clew[{provider}]', or choose --model offline"
    )
