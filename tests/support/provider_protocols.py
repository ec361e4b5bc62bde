"""How two model providers put what a model says, whole and streamed: OpenAI and Anthropic, each in its own protocol.

It knows the form of answers alone: neither HTTP nor what a request may be. OpenAI's other one is `provider_responses`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from support import provider_rules
from support.provider_responses import Responses

Json = dict[str, Any]
Event = tuple[bool, str]
"""Whether it carries a piece of the text, and what is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A tool that the model wants to have used.

    Args:
        tool: its name.
        arguments: what it is to be given, or a text that the model writes in its place.
        id: what the result will be known by.
    """

    tool: str
    arguments: Json | str = field(default_factory=dict)
    id: str

    @property
    def written(self) -> str:
        """The arguments as the model writes them."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model says next: a text, tools to use, or both.

    Args:
        text: what it says.
        uses: the tools it wants to have used.
        pieces: the text as it is to be streamed, where words are not the right pieces.
        is_cut: whether the connection ends in the middle of it.
        is_full: whether it ends there because it is as long as it may be.
    """

    text: str = ""
    uses: tuple[Use, ...] = ()
    pieces: Sequence[str] = ()
    is_cut: bool = False
    is_full: bool = False

    @property
    def streamed(self) -> Sequence[str]:
        """The text as it is streamed."""
        return self.pieces or re.findall(r"\s*\S+|\s+$", self.text)


class ChatCompletions:
    """OpenAI's protocol."""

    check = staticmethod(provider_rules.wrong_with_chat_completion)

    @staticmethod
    def whole(answer: Answer) -> Json:
        message: Json = {"role": "assistant", "content": answer.text or None, "refusal": None}
        if answer.uses:
            message["tool_calls"] = [_tool_call(use) for use in answer.uses]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
        return {
            "id": f"c{next(_NUMBERS)}",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [choice],
            "usage": _USAGE,
        }

    @staticmethod
    def events(answer: Answer, request: Json) -> Iterator[Event]:
        whole = {"id": f"c{next(_NUMBERS)}", "object": "chat.completion.chunk", "created": 0, "model": "m"}
        deltas: list[Json] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": piece} for piece in answer.streamed]
        for index, use in enumerate(answer.uses):
            call = _tool_call(use)
            arguments, call["function"]["arguments"] = call["function"]["arguments"], ""
            deltas.append({"tool_calls": [{"index": index, **call}]})
            deltas += [{"tool_calls": [{"index": index, "function": {"arguments": a}}]} for a in _halves(arguments)]
        for delta in deltas:
            yield _chunk(whole, delta, None)
        yield _chunk(whole, {}, _finish_reason(answer))
        if (request.get("stream_options") or {}).get("include_usage"):
            yield False, _data({**whole, "choices": [], "usage": _USAGE})
        yield False, "data: [DONE]\n\n"


_USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
_NUMBERS = itertools.count(1)  # no two answers have one id


def _tool_call(use: Use) -> Json:
    return {"id": use.id, "type": "function", "function": {"name": use.tool, "arguments": use.written}}


def _finish_reason(answer: Answer) -> str:
    return "length" if answer.is_full else "tool_calls" if answer.uses else "stop"


def _chunk(whole: Json, delta: Json, finish: str | None) -> Event:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return bool(delta.get("content")), _data({**whole, "choices": [choice]})


def _data(chunk: Json) -> str:
    return f"data: {json.dumps(chunk)}\n\n"


class Messages:
    """Anthropic's protocol."""

    check = staticmethod(provider_rules.wrong_with_messages)

    @staticmethod
    def whole(answer: Answer) -> Json:
        blocks: list[Json] = [{"type": "text", "text": answer.text}] if answer.text else []
        blocks += [_tool_use(use) for use in answer.uses]
        return _message(blocks, _stop_reason(answer))

    @staticmethod
    def events(answer: Answer, request: Json) -> Iterator[Event]:
        yield _event("message_start", message=_message([], None))
        index = itertools.count()
        if answer.streamed:
            deltas = [{"type": "text_delta", "text": piece} for piece in answer.streamed]
            yield from _block(next(index), {"type": "text", "text": ""}, deltas)
        for use in answer.uses:
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in _halves(use.written)]
            yield from _block(next(index), {**_tool_use(use), "input": {}}, deltas)
        end = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
        yield _event("message_delta", delta=end, usage={"output_tokens": 1})
        yield _event("message_stop")


def _stop_reason(answer: Answer) -> str:
    return "max_tokens" if answer.is_full else "tool_use" if answer.uses else "end_turn"


def _tool_use(use: Use) -> Json:
    return {"type": "tool_use", "id": use.id, "name": use.tool, "input": use.arguments}


def _message(content: list[Json], stop_reason: str | None) -> Json:
    return {
        "id": f"m{next(_NUMBERS)}", "type": "message", "role": "assistant", "model": "m", "content": content,
        "stop_reason": stop_reason, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip


def _block(index: int, start: Json, deltas: list[Json]) -> Iterator[Event]:
    yield _event("content_block_start", index=index, content_block=start)
    for delta in deltas:
        yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _event(type: str, **parts: Any) -> Event:
    return "text" in parts.get("delta", ()), f"event: {type}\ndata: {json.dumps({'type': type, **parts})}\n\n"


def _halves(text: str) -> list[str]:
    return [text[: len(text) // 2], text[len(text) // 2 :]]


PROTOCOLS: dict[str, type[ChatCompletions] | type[Responses] | type[Messages]] = {
    "/v1/chat/completions": ChatCompletions,
    "/v1/responses": Responses,
    "/v1/messages": Messages,
}
