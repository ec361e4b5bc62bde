"""What OpenAI's and Anthropic's SDKs stream becomes one message in OpenAI's shape, shown piece by piece as it comes.

Arguments of tools stay the text that the model wrote: what was cut off, or is no JSON, must not be guessed at.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

from clew import ModelCall, get_runtime, stream_message
from clew.agents.forms import CUT_OFF, Json

# Of a connection that is lost some servers and proxies make an answer that just ends.
_CUT = "the model's answer was cut off before its end"


class Answer(ABC):
    """What a model has said so far in a call.

    Args:
        call: takes note of what is told beside the message.
    """

    def __init__(self, call: ModelCall) -> None:
        self._call = call
        self._texts: dict[str, str] = {}
        self._calls: dict[int, Json] = {}
        self._thinking: dict[int, Json] = {}

    @abstractmethod
    def hear(self, piece: Any) -> None:
        """Take in what the SDK gives next."""

    def message(self) -> Json:
        """Return the whole message.

        Raises:
            ConnectionError: it has not ended.
        """
        if not self._call.finish_reasons:
            raise ConnectionError(_CUT)
        calls, thinking = list(self._calls.values()), list(self._thinking.values())
        for call in calls:
            # Cut off before it came to the arguments, the last one must not pass for a call without any.
            is_cut = call is calls[-1] and not CUT_OFF.isdisjoint(self._call.finish_reasons)
            call["function"]["arguments"] = call["function"]["arguments"] or ("{" if is_cut else "{}")
        parts = {**({"tool_calls": calls} if calls else {}), **({"thinking": thinking} if thinking else {})}
        message: Json = {"role": "assistant", "content": "", **self._texts, **parts}
        self._call.answer = message
        return message

    def _say(self, part: str, piece: str) -> None:
        stream_message({"role": "assistant", "content": piece, "id": get_runtime().idempotency_key})
        self._texts[part] = self._texts.get(part, "") + piece

    def _called(self, index: int) -> Json:
        new = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        return self._calls.setdefault(index, new)


class OpenAIAnswer(Answer):
    """What comes in chunks of Chat Completions."""

    def hear(self, piece: Any) -> None:
        call = self._call
        call.response_id, call.response_model = piece.id or call.response_id, piece.model or call.response_model
        if (usage := getattr(piece, "usage", None)) is not None:
            call.input_tokens, call.output_tokens = usage.prompt_tokens, usage.completion_tokens
        if reasons := [choice.finish_reason for choice in piece.choices if choice.finish_reason]:
            call.finish_reasons = reasons
        for choice in piece.choices:
            self._hear_delta(choice.delta)

    def _hear_delta(self, delta: Any) -> None:
        for part in ("content", "refusal"):
            if text := getattr(delta, part, None):
                self._say(part, text)
        for piece in delta.tool_calls or ():
            called = self._called(piece.index)
            called["id"] = piece.id or called["id"]
            for part in ("name", "arguments"):
                called["function"][part] += getattr(piece.function, part, None) or ""


class AnthropicAnswer(Answer):
    """What comes in events of Messages."""

    def hear(self, piece: Any) -> None:
        match piece.type:
            case "message_start":
                self._call.response_id, self._call.response_model = piece.message.id, piece.message.model
                self._count(piece.message.usage)
            case "content_block_start":
                self._begin(piece.index, piece.content_block)
            case "content_block_delta":
                self._hear_delta(piece.index, piece.delta)
            case "message_delta":
                if piece.delta.stop_reason is not None:
                    self._call.finish_reasons = (piece.delta.stop_reason,)
                self._count(piece.usage)
            case _:
                pass

    def _begin(self, index: int, block: Any) -> None:
        if block.type == "tool_use":
            called = self._called(index)
            called["id"] = block.id
            called["function"] = {"name": block.name, "arguments": json.dumps(block.input) if block.input else ""}
        elif "thinking" in block.type:
            self._thinking[index] = block.to_dict()

    def _hear_delta(self, index: int, delta: Any) -> None:
        match delta.type:
            case "text_delta":
                self._say("content", delta.text)
            case "input_json_delta" if index in self._calls:  # else of a tool that Anthropic uses itself
                self._calls[index]["function"]["arguments"] += delta.partial_json
            case "thinking_delta":
                self._thinking[index]["thinking"] += delta.thinking
            case "signature_delta":
                self._thinking[index]["signature"] += delta.signature
            case _:
                pass

    def _count(self, usage: Any) -> None:
        if usage.input_tokens is not None:
            # Anthropic counts what a cache gave apart from the rest.
            cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
            self._call.input_tokens = usage.input_tokens + cached
        self._call.output_tokens = usage.output_tokens
