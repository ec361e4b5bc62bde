"""OpenAI's and Anthropic's own SDKs as models: what each is sent, and how what it streams becomes one message.

Tokens are shown in the stream mode "messages" as they come. An agent's messages are in OpenAI's shape; what only
Anthropic has (its thinking) is kept beside, and sent back to it alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from clew import ModelCall, get_runtime, stream_message, watched
from clew.agents.forms import Json, calls_in, role_of, text_of

Model = Callable[..., Any]
# Of a connection that is lost some servers and proxies make an answer that just ends.
_CUT = "the model's answer was cut off before its end"
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
        asked = {"model": model, "messages": sent, "stream": True, "stream_options": {"include_usage": True}}
        return {**asked, **({"tools": tools} if tools else {}), **options}

    def ask(messages: Sequence[Json], tools: list[Json]) -> Json:
        with watched(ModelCall(provider="openai", model=model, options=options, messages=messages)) as call:
            said = _Said(call)
            with client.chat.completions.create(**request(messages, tools)) as chunks:
                for chunk in chunks:
                    said.hear(chunk)
            return said.message()

    async def aask(messages: Sequence[Json], tools: list[Json]) -> Json:
        with watched(ModelCall(provider="openai", model=model, options=options, messages=messages)) as call:
            said = _Said(call)
            async with await client.chat.completions.create(**request(messages, tools)) as chunks:
                async for chunk in chunks:
                    said.hear(chunk)
            return said.message()

    return aask if isinstance(client, AsyncOpenAI) else ask


class _Said:
    """What a model of OpenAI's has said so far in a call."""

    def __init__(self, call: ModelCall) -> None:
        self._call = call
        self._texts: dict[str, str] = {}
        self._calls: dict[int, Json] = {}
        self._has_ended = False

    def hear(self, chunk: Any) -> None:
        self._note(chunk)
        for choice in chunk.choices:
            self._has_ended = self._has_ended or choice.finish_reason is not None
            for part in ("content", "refusal"):
                if piece := getattr(choice.delta, part, None):
                    _show(piece)
                    self._texts[part] = self._texts.get(part, "") + piece
            for piece in choice.delta.tool_calls or ():
                new = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
                call = self._calls.setdefault(piece.index, new)
                call["id"] = piece.id or call["id"]
                for part in ("name", "arguments"):
                    call["function"][part] += getattr(piece.function, part, None) or ""

    def message(self) -> Json:
        if not self._has_ended:
            raise ConnectionError(_CUT)
        calls = {"tool_calls": list(self._calls.values())} if self._calls else {}
        message: Json = {"role": "assistant", "content": "", **self._texts, **calls}
        self._call.answer = message
        return message

    def _note(self, chunk: Any) -> None:
        """Take note of what a chunk tells beside the message."""
        call = self._call
        call.response_id, call.response_model = chunk.id or call.response_id, chunk.model or call.response_model
        if reasons := [choice.finish_reason for choice in chunk.choices if choice.finish_reason]:
            call.finish_reasons = reasons
        if (usage := getattr(chunk, "usage", None)) is not None:
            call.input_tokens, call.output_tokens = usage.prompt_tokens, usage.completion_tokens


def anthropic_model(client: Any, model: str, *, max_tokens: int = 4096, **options: Any) -> Model:
    """Return a model of Anthropic's for `create_agent`.

    Args:
        client: `anthropic.Anthropic` or `anthropic.AsyncAnthropic`.
        model: its name.
        max_tokens: the longest answer.
        options: sent with every request, such as `temperature` or `thinking`.
    """
    from anthropic import AsyncAnthropic

    def request(messages: Sequence[Json], tools: list[Json]) -> Json:
        system = "\n\n".join(text_of(message) for message in messages if role_of(message) == "system")
        named = [tool["function"] for tool in tools]
        told = [{"name": t["name"], "description": t["description"], "input_schema": t["parameters"]} for t in named]
        more = {"tools": told} if told else _used_before(messages)
        parts: Json = {**({"system": system} if system else {}), **more, **options}
        return {"model": model, "max_tokens": max_tokens, "messages": _for_anthropic(messages), **parts}

    def call_of(messages: Sequence[Json]) -> ModelCall:
        asked = {"max_tokens": max_tokens, **options}
        return ModelCall(provider="anthropic", model=model, options=asked, messages=messages)

    def ask(messages: Sequence[Json], tools: list[Json]) -> Json:
        with watched(call_of(messages)) as call, client.messages.stream(**request(messages, tools)) as stream:
            for piece in stream.text_stream:
                _show(piece)
            return _from_anthropic(call, stream.get_final_message())

    async def aask(messages: Sequence[Json], tools: list[Json]) -> Json:
        with watched(call_of(messages)) as call:
            async with client.messages.stream(**request(messages, tools)) as stream:
                async for piece in stream.text_stream:
                    _show(piece)
                return _from_anthropic(call, await stream.get_final_message())

    return aask if isinstance(client, AsyncAnthropic) else ask


def _show(piece: str) -> None:
    stream_message({"role": "assistant", "content": piece, "id": get_runtime().idempotency_key})


def _from_anthropic(call: ModelCall, said: Any) -> Json:
    """Return a whole message in OpenAI's shape, and take note of what it tells besides."""
    if said.stop_reason is None:
        raise ConnectionError(_CUT)
    blocks, usage = said.content, said.usage
    text = "".join(block.text for block in blocks if block.type == "text")
    thinking = [block.to_dict() for block in blocks if "thinking" in block.type]
    calls = [
        {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": json.dumps(block.input)}}
        for block in blocks
        if block.type == "tool_use"
    ]
    parts = {**({"tool_calls": calls} if calls else {}), **({"thinking": thinking} if thinking else {})}
    call.response_id, call.response_model, call.finish_reasons = said.id, said.model, (said.stop_reason,)
    # Anthropic counts what a cache gave apart from the rest.
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    call.input_tokens, call.output_tokens = usage.input_tokens + cached, usage.output_tokens
    message: Json = {"role": "assistant", "content": text, **parts}
    call.answer = message
    return message


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
    blocks = text if isinstance(content, str) else list(content)
    if role_of(message) == "tool":
        return [{"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": blocks}]
    uses = [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": _object(call.arguments)}
        for call in calls_in(message)
    ]
    return [*message.get("thinking", ()), *blocks, *uses]


def _object(arguments: Json | str) -> Json:
    return {} if isinstance(arguments, str) else arguments
