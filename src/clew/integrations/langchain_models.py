"""Lets whoever watches this process know of the calls of LangChain's chat models. Importing it is all that is needed.

It hears them through the callbacks that every one of them makes, and knows nothing of who watches, or how.
"""

from __future__ import annotations

from contextvars import Context, ContextVar, copy_context
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tracers.context import register_configure_hook

from clew.observing import ModelCall, watched

# What langchain calls those whom others call otherwise.
_PROVIDERS = {"google_genai": "gcp.gemini", "google_vertexai": "gcp.vertex_ai", "mistralai": "mistral_ai"}


class _Models(BaseCallbackHandler):
    """Watches each call of a chat model from its start to its end."""

    run_inline = True  # on the caller's own OS thread, and in the context that knows the running call

    def __init__(self) -> None:
        # Each is begun and ended in a context of its own: the two callbacks may come in different ones.
        self._asked: dict[UUID, tuple[Context, watched[ModelCall], ModelCall]] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """A model was asked."""
        known, options = metadata or {}, more.get("invocation_params") or {}
        provider = str(known.get("ls_provider") or "langchain")
        call = ModelCall(
            provider=_PROVIDERS.get(provider, provider),
            model=str(known.get("ls_model_name") or options.get("model") or (serialized or {}).get("name") or "model"),
            options=options, messages=messages[0] if messages else (),
        )  # fmt: skip
        within, watch = copy_context(), watched(call)
        within.run(watch.__enter__)
        self._asked[run_id] = within, watch, call

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **more: Any) -> None:
        """A model has said everything."""
        if run_id in self._asked:
            within, watch, call = self._asked.pop(run_id)
            _note(call, response)
            within.run(watch.__exit__, None, None, None)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        """A model failed."""
        if run_id in self._asked:
            within, watch, _ = self._asked.pop(run_id)
            within.run(watch.__exit__, type(error), error, error.__traceback__)


def _note(call: ModelCall, response: LLMResult) -> None:
    said = response.generations[0][0] if response.generations and response.generations[0] else None
    if not isinstance(said, ChatGeneration):
        return
    message: Any = said.message
    told = message.response_metadata
    usage = getattr(message, "usage_metadata", None) or {}
    reason = told.get("finish_reason") or told.get("stop_reason")
    call.answer = message
    call.response_id = told.get("id") or message.id
    call.response_model = told.get("model_name") or told.get("model")
    call.input_tokens, call.output_tokens = usage.get("input_tokens"), usage.get("output_tokens")
    call.finish_reasons = (str(reason),) if reason else ()


_models: ContextVar[_Models | None] = ContextVar("clew_langchain_models", default=_Models())  # noqa: B039
register_configure_hook(_models, inheritable=True)
