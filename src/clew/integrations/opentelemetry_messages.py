"""Conversations in the form in which OpenTelemetry's conventions for generative AI show them.

They come in OpenAI's shape, as dicts, or as objects of LangChain.

Source: https://github.com/open-telemetry/semantic-conventions/blob/main/docs/gen-ai/gen-ai-input-messages.json
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

Json = dict[str, Any]


def conversation(messages: Sequence[Any]) -> list[Json]:
    """Return what a model is told, without its instructions."""
    return [_shown(message) for message in map(_as_dict, messages) if message.get("role") != "system"]


def instructions(messages: Sequence[Any]) -> list[Json]:
    """Return the instructions that a model is given."""
    told = [message for message in map(_as_dict, messages) if message.get("role") == "system"]
    return [part for message in told for part in _parts(message)]


def answered(message: Any, finish_reasons: Sequence[str]) -> list[Json]:
    """Return what a model answered."""
    return [{**_shown(_as_dict(message)), "finish_reason": finish_reasons[0] if finish_reasons else "stop"}]


def _as_dict(message: Any) -> Json:
    if isinstance(message, dict):
        return message
    from langchain_core.messages import BaseMessage, convert_to_openai_messages

    if not isinstance(message, BaseMessage):
        return {"role": "user", "content": repr(message)}
    converted: Any = convert_to_openai_messages(message)
    return dict(converted)


def _shown(message: Json) -> Json:
    return {"role": str(message.get("role") or "user"), "parts": list(_parts(message))}


def _parts(message: Json) -> Iterator[Json]:
    content = message.get("content")
    if message.get("role") == "tool":
        yield {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": content}
        return
    if isinstance(content, str):
        if content:
            yield {"type": "text", "content": content}
    else:
        for part in content or ():
            is_text = isinstance(part, dict) and part.get("type") == "text"
            yield {"type": "text", "content": part["text"]} if is_text else {"type": "blob", "content": repr(part)}
    for call in message.get("tool_calls") or ():
        used = call.get("function") or {}
        yield {
            "type": "tool_call", "id": call.get("id"), "name": used.get("name"), "arguments": used.get("arguments"),
        }  # fmt: skip
