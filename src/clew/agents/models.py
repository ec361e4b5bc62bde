"""Models as an agent calls them: one function from messages and tools to a message, whatever the model is."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from clew import RetryPolicy
from clew.agents.forms import Json, Message, in_openai_form
from clew.agents.schemas import hinted
from clew.errors import InvalidOption

Ask = Callable[[Sequence[Message], list[Json]], Message | Awaitable[Message]]


def as_model(model: Any) -> tuple[Ask, bool]:
    """Return the function that asks a model, and whether it is async.

    Args:
        model: a LangChain chat model, or a function from messages (dicts in OpenAI's shape) to a message; one with a
            parameter `tools` is told the tools as well.

    Raises:
        InvalidOption: it is neither.
    """
    if hasattr(model, "bind_tools") and hasattr(model, "ainvoke"):
        return _asking_langchain(model), True
    if not callable(model):
        raise InvalidOption(
            f"no model: {model!r}; give a LangChain chat model, openai_model(client, name), "
            "anthropic_model(client, name), or a function from messages to a message"
        )
    function: Callable[..., Any] = model
    wants_tools = "tools" in inspect.signature(function).parameters

    def ask(messages: Sequence[Message], tools: list[Json]) -> Any:
        told = in_openai_form(messages)
        return function(told, tools=tools) if wants_tools else function(told)

    return ask, inspect.iscoroutinefunction(hinted(function))


def _asking_langchain(model: Any) -> Ask:
    async def ask(messages: Sequence[Message], tools: list[Json]) -> Any:
        return await (model.bind_tools(tools) if tools else model).ainvoke(list(messages))

    return ask


def _was_refused(error: Exception) -> bool:
    """Say whether a provider refused what was asked, which it will do again: status 4xx, but for those that pass."""
    status = getattr(error, "status_code", None)
    return isinstance(status, int) and 400 <= status < 500 and status not in (408, 409, 429)


ASK_AGAIN = (RetryPolicy(max_attempts=1, retry_on=_was_refused), RetryPolicy())
"""After which failures a model is asked again, if nothing else is said."""
