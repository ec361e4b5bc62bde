"""Hears what LangChain's chat models say inside a run, and hands the run's config on to them and its tools.

What is said comes through the callbacks that every model makes. Nothing here knows of streams: what it hears, it gives
to `stream_message`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, GenerationChunk, LLMResult
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers._streaming import _StreamingCallbackHandler
from langchain_core.tracers.context import register_configure_hook

from clew.context import show_life, stream_message

_SILENT_TAGS = frozenset({"nostream", "langsmith:nostream"})


_FOR_LANGCHAIN = ("callbacks", "tags", "metadata", "configurable")


@contextmanager
def listening(config: Mapping[str, Any], *, tokens: bool) -> Generator[None]:
    """Hand a run's config on to the models, chains and tools that are called in it, and perhaps hear what models say.

    Args:
        config: of the run.
        tokens: whether somebody wants to hear.
    """
    heard, known = _listener.get(), var_child_runnable_config.get()
    var_child_runnable_config.set(_handed_on(known or {}, config))
    if tokens:
        _listener.set(_Listener())
    try:
        yield
    finally:
        # Set, not reset by tokens: a run that is closed early may be closed in another context.
        _listener.set(heard)
        var_child_runnable_config.set(known)


def _handed_on(known: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    """Return what LangChain knows around the run, a graph of LangGraph's perhaps, with what the run's config says."""
    told = dict(known)
    for part in _FOR_LANGCHAIN:
        if given := config.get(part):
            told[part] = {**(told.get(part) or {}), **given} if isinstance(given, Mapping) else given
    return told


class _Listener(BaseCallbackHandler, _StreamingCallbackHandler[BaseMessage]):
    """Shows tokens as they come, and the whole message of a model that gave none.

    The second base makes a model stream although it was merely invoked.
    """

    run_inline = True  # on the caller's own OS thread, in order, and in the context that knows the running call

    def __init__(self) -> None:
        self._heard: dict[UUID, dict[str, Any]] = {}  # models that speak now -> what is known of each
        self._streamed: dict[UUID, str | None] = {}  # of those, what have spoken -> the id that their first piece told

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """A model was asked."""
        if _SILENT_TAGS.isdisjoint(tags or ()):
            own = [tag for tag in tags or () if not tag.startswith("seq:step")]
            self._heard[run_id] = {**(metadata or {}), **({"tags": own} if own else {})}

    def on_llm_new_token(
        self,
        token: str | list[str | dict[str, Any]],
        *,
        chunk: GenerationChunk | ChatGenerationChunk | None = None,
        run_id: UUID,
        **more: Any,
    ) -> None:
        """A model said a token."""
        if run_id in self._heard and isinstance(chunk, ChatGenerationChunk):
            first = self._streamed.setdefault(run_id, chunk.message.id)
            stream_message(_named(chunk.message, run_id, first), self._heard[run_id])

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **more: Any) -> None:
        """A model has said everything."""
        known, streamed = self._forget(run_id)
        if known is None or streamed or not (response.generations and response.generations[0]):
            return
        said = response.generations[0][0]
        if isinstance(said, ChatGeneration):
            stream_message(said.message, known)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """A model failed."""
        self._forget(run_id)

    def _forget(self, run_id: UUID) -> tuple[dict[str, Any] | None, bool]:
        streamed = run_id in self._streamed
        self._streamed.pop(run_id, None)
        return self._heard.pop(run_id, None), streamed

    def tap_output_iter(self, run_id: UUID, output: Iterator[BaseMessage]) -> Iterator[BaseMessage]:
        """Pass on what a chain gives, as it is."""
        return output

    def tap_output_aiter(self, run_id: UUID, output: AsyncIterator[BaseMessage]) -> AsyncIterator[BaseMessage]:
        """Pass on what a chain gives, as it is."""
        return output


def _named(piece: BaseMessage, run_id: UUID, first: str | None) -> BaseMessage:
    """Return a piece with the id of its message.

    OpenAI's Responses tell it in the first piece alone; LangChain then gives the others an id made of the run's.
    """
    is_made_up = piece.id is not None and str(run_id) in piece.id
    return piece.model_copy(update={"id": first}) if is_made_up and first not in (None, piece.id) else piece


_listener: ContextVar[_Listener | None] = ContextVar("clew_langchain_listener", default=None)
register_configure_hook(_listener, inheritable=True)


def hear_life() -> None:
    """Count every callback from now on in this context as a sign of life of the running call."""
    _pulse.set(_Pulse())


class _Pulse(BaseCallbackHandler):
    """Shows the limit on a call's silence that models, tools and chains are at work."""

    run_inline = True  # in the context that knows the running call


def _beat(self: _Pulse, *args: Any, **more: Any) -> None:
    show_life()


for _name in dir(BaseCallbackHandler):
    if _name.startswith("on_"):
        setattr(_Pulse, _name, _beat)

_pulse: ContextVar[_Pulse | None] = ContextVar("clew_langchain_pulse", default=None)
register_configure_hook(_pulse, inheritable=True)
