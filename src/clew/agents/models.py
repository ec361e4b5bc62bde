"""Models as an agent asks them: one task from messages to a message, whatever the model is."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from clew import RetryPolicy, Task, get_runtime, task
from clew.agents.forms import Json, Message, in_openai_form, reply_with_id
from clew.agents.schemas import is_async
from clew.errors import InvalidOption

Ask = Callable[[Sequence[Message], list[Json]], Message | Awaitable[Message]]


def asking(
    name: str,
    model: Any,
    request: Callable[..., list[Message]],
    tools: list[Json],
    retry: RetryPolicy | Sequence[RetryPolicy] | None,
) -> Task[..., Message]:
    """Return the task that asks a model, in its colour.

    What the task is called with is all that is compared on replay: what `request` adds, such as a prompt, may change
    while a run is unfinished.

    Args:
        name: of the task.
        model: see `_as_function`.
        request: makes of the task's arguments what the model is shown.
        tools: what it is told of tools.
        retry: after which failures it is asked again.
    """
    function: Callable[..., Any] = _as_function(model)

    async def ask_async(*given: Any) -> Any:
        return reply_with_id(await function(request(*given), tools), get_runtime().idempotency_key)

    def ask_blocking(*given: Any) -> Any:
        return reply_with_id(function(request(*given), tools), get_runtime().idempotency_key)

    return task(ask_async if is_async(function) else ask_blocking, name=name, retry_policy=retry)


def _as_function(model: Any) -> Ask:
    """Return the function that asks a model, blocking or async.

    Args:
        model: a LangChain chat model, or a function from messages (dicts in OpenAI's shape) to a message; one with a
            parameter `tools` is told the tools as well.

    Raises:
        InvalidOption: it is neither.
    """
    if hasattr(model, "bind_tools") and hasattr(model, "ainvoke"):
        return _asking_langchain(model)
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

    async def aask(messages: Sequence[Message], tools: list[Json]) -> Any:
        return await ask(messages, tools)

    return aask if is_async(function) else ask


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
