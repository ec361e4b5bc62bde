"""OpenAI's and Anthropic's own SDKs as models: what each is sent. What they answer is in `answers`.

An agent's messages are in OpenAI's shape; what only Anthropic has (its thinking) is kept beside, and sent back to it
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from clew import ModelCall, watched
from clew.agents.answers import Answer, AnthropicAnswer, OpenAIAnswer
from clew.agents.forms import Json, calls_in, role_of, text_of

Model = Callable[..., Any]
_OPENAI_FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id", "refusal")


def openai_model(client: Any, model: str, **options: Any) -> Model:
    """Return a model of OpenAI's, or of whoever speaks its Chat Completions, for `create_agent`.

    Args:
        client: `openai.OpenAI` or `openai.AsyncOpenAI`.
        model: its name.
        options: sent with every request, such as `temperature`.
    """
    from openai import AsyncOpenAI

    def request(messages: Sequence[Json], tools: list[Json]) -> Json:
        sent = [{name: m[name] for name in _OPENAI_FIELDS if name in m} for m in messages]
        asked = {"messages": sent, "stream_options": {"include_usage": True}}
        return {**asked, **({"tools": tools} if tools else {}), **options}

    def call_of(messages: Sequence[Json]) -> ModelCall:
        return ModelCall(provider="openai", model=model, options=options, messages=messages)

    create = client.chat.completions.create
    return _streaming(create, request, call_of, OpenAIAnswer, is_async=isinstance(client, AsyncOpenAI))


def anthropic_model(client: Any, model: str, *, max_tokens: int = 4096, **options: Any) -> Model:
    """Return a model of Anthropic's for `create_agent`.

    Args:
        client: `anthropic.Anthropic` or `anthropic.AsyncAnthropic`.
        model: its name.
        max_tokens: the longest answer.
        options: sent with every request, such as `temperature` or `thinking`.
    """
    from anthropic import AsyncAnthropic

    limited = {"max_tokens": max_tokens, **options}

    def request(messages: Sequence[Json], tools: list[Json]) -> Json:
        system = "\n\n".join(text_of(message) for message in messages if role_of(message) == "system")
        named = [tool["function"] for tool in tools]
        told = [{"name": t["name"], "description": t["description"], "input_schema": t["parameters"]} for t in named]
        more = {"tools": told} if told else _used_before(messages)
        return {"messages": _for_anthropic(messages), **({"system": system} if system else {}), **more, **limited}

    def call_of(messages: Sequence[Json]) -> ModelCall:
        return ModelCall(provider="anthropic", model=model, options=limited, messages=messages)

    create = client.messages.create
    return _streaming(create, request, call_of, AnthropicAnswer, is_async=isinstance(client, AsyncAnthropic))


def _streaming(
    create: Callable[..., Any],
    request: Callable[[Sequence[Json], list[Json]], Json],
    call_of: Callable[[Sequence[Json]], ModelCall],
    answering: Callable[[ModelCall], Answer],
    *,
    is_async: bool,
) -> Model:
    def ask(messages: Sequence[Json], tools: list[Json]) -> Json:
        with watched(call_of(messages)) as call:
            answer = answering(call)
            with create(model=call.model, stream=True, **request(messages, tools)) as pieces:
                for piece in pieces:
                    answer.hear(piece)
            return answer.message()

    async def aask(messages: Sequence[Json], tools: list[Json]) -> Json:
        with watched(call_of(messages)) as call:
            answer = answering(call)
            async with await create(model=call.model, stream=True, **request(messages, tools)) as pieces:
                async for piece in pieces:
                    answer.hear(piece)
            return answer.message()

    return aask if is_async else ask


def _used_before(messages: Sequence[Json]) -> Json:
    """Declare the tools that others used in a conversation to a model that has none: Anthropic wants them declared."""
    names = dict.fromkeys(call.name for message in messages for call in calls_in(message))
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in names]
    return {"tools": tools, "tool_choice": {"type": "none"}} if tools else {}


def _for_anthropic(messages: Sequence[Json]) -> list[Json]:
    """Return the conversation as Anthropic wants it: results of tools are the user's, and roles take turns."""
    turns: list[Json] = []
    for message in messages:
        if (role := role_of(message)) == "system" or not (blocks := _blocks(message)):
            continue
        speaker = "assistant" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": speaker, "content": blocks})
    return turns


def _blocks(message: Json) -> list[Json]:
    content = message.get("content") or ""
    text = [{"type": "text", "text": content}] if isinstance(content, str) and content.strip() else []
    blocks = text if isinstance(content, str) else [_block(block) for block in content]
    if role_of(message) == "tool":
        return [{"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": blocks}]
    uses = [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": _object(call.arguments)}
        for call in calls_in(message)
    ]
    return [*message.get("thinking", ()), *blocks, *uses]


def _block(block: Json) -> Json:
    """Return a part of a message as Anthropic wants it: what it calls otherwise is OpenAI's image."""
    if block.get("type") != "image_url":
        return block
    url: str = block["image_url"]["url"]
    kind, is_inline, data = url.removeprefix("data:").partition(";base64,")
    inline = {"type": "base64", "media_type": kind, "data": data}
    return {"type": "image", "source": inline if is_inline else {"type": "url", "url": url}}


def _object(arguments: Json | str) -> Json:
    return {} if isinstance(arguments, str) else arguments
