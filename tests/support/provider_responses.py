"""How OpenAI puts what a model says in its Responses protocol, whole and streamed, and what it refuses.

It knows the form of answers and requests alone. Source: OpenAI's API reference, "Create a model response" and
"Streaming events".
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from support.provider_protocols import Answer, Event, Use

Json = dict[str, Any]
_INPUT_FIELDS = {
    "message": {"type", "id", "role", "content", "status", "phase"},
    "function_call": {"type", "id", "call_id", "name", "arguments", "status", "namespace"},
    "function_call_output": {"type", "id", "call_id", "output", "status"},
}
_NUMBERS = itertools.count(1)


class Responses:
    """OpenAI's newer protocol."""

    @staticmethod
    def check(request: Json) -> str | None:
        """Return what OpenAI would refuse in a request, or None."""
        if not request.get("model") or not request.get("input"):
            return "model and input are required"
        items = request["input"] if isinstance(request["input"], list) else []
        for place, item in enumerate(items):
            kind = item.get("type", "message")
            if unknown := set(item) - _INPUT_FIELDS.get(kind, set()):
                return f"input[{place}]: unknown {sorted(unknown)} in an item of type {kind!r}"
        made = {item["call_id"] for item in items if item.get("type") == "function_call"}
        answered = {item["call_id"] for item in items if item.get("type") == "function_call_output"}
        if made != answered and "previous_response_id" not in request:
            return f"function calls {sorted(made)}, but outputs for {sorted(answered)}"
        return None

    @staticmethod
    def whole(answer: Answer) -> Json:
        number = next(_NUMBERS)
        return _response(number, "completed", [item for item, _ in _items(answer, number)])

    @staticmethod
    def events(answer: Answer, request: Json) -> Iterator[Event]:
        number, sequence = next(_NUMBERS), itertools.count()

        def event(type: str, **parts: Any) -> Event:
            sent = {"type": type, "sequence_number": next(sequence), **parts}
            return type.endswith("output_text.delta"), f"event: {type}\ndata: {json.dumps(sent)}\n\n"

        yield event("response.created", response=_response(number, "in_progress", []))
        done: list[Json] = []
        for place, (item, pieces) in enumerate(_items(answer, number)):
            at = {"item_id": item["id"], "output_index": place}
            empty = {**item, "status": "in_progress"} | ({"content": []} if "content" in item else {"arguments": ""})
            yield event("response.output_item.added", output_index=place, item=empty)
            told = _told_as_text if item["type"] == "message" else _told_as_call
            for type, parts in told(item, pieces):
                yield event(type, **at, **parts)
            yield event("response.output_item.done", output_index=place, item=item)
            done.append(item)
        yield event("response.completed", response=_response(number, "completed", done))


def _told_as_text(item: Json, pieces: list[str]) -> Iterator[tuple[str, Json]]:
    [part] = item["content"]
    yield "response.content_part.added", {"content_index": 0, "part": {**part, "text": ""}}
    for piece in pieces:
        yield "response.output_text.delta", {"content_index": 0, "delta": piece, "logprobs": []}
    yield "response.output_text.done", {"content_index": 0, "text": part["text"], "logprobs": []}
    yield "response.content_part.done", {"content_index": 0, "part": part}


def _told_as_call(item: Json, pieces: list[str]) -> Iterator[tuple[str, Json]]:
    for piece in pieces:
        yield "response.function_call_arguments.delta", {"delta": piece}
    yield "response.function_call_arguments.done", {"arguments": item["arguments"], "name": item["name"]}


def _items(answer: Answer, number: int) -> list[tuple[Json, list[str]]]:
    """Return the items of an answer, each with the pieces in which it is streamed."""
    items: list[tuple[Json, list[str]]] = []
    if answer.streamed:
        text = "".join(answer.streamed)
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        message = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed"}
        items.append(({**message, "content": [part]}, list(answer.streamed)))
    for place, use in enumerate(answer.uses):
        call = _function_call(use, f"fc_{number}_{place}")
        items.append((call, [call["arguments"][:5], call["arguments"][5:]]))
    return items


def _function_call(use: Use, id: str) -> Json:
    call = {"type": "function_call", "id": id, "call_id": use.id, "name": use.tool, "status": "completed"}
    return {**call, "arguments": json.dumps(use.arguments)}


def _response(number: int, status: str, output: list[Json]) -> Json:
    return {
        "id": f"resp_{number}", "object": "response", "created_at": 0, "model": "m", "status": status, "output": output,
        "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": True,
        "temperature": 1.0, "top_p": 1.0, "tool_choice": "auto", "tools": [],
        "usage": {
            "input_tokens": 1, "output_tokens": 1, "total_tokens": 2,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }  # fmt: skip
