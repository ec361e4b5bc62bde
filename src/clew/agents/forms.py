"""What a message says, in either form: a dict in the shape of OpenAI's Chat Completions, or LangChain's classes.

An agent reads messages through these functions alone, so that it need not know which form its thread is in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clew.errors import InvalidMessage

Json = dict[str, Any]
Message = Any
"""A dict with "role" and "content", or a LangChain message."""

CUT_OFF = frozenset({"length", "max_tokens"})
"""Why an answer ended that is as long as it may be, in the words of providers."""

NOTICE = "notice"
"""The name of what an agent itself tells its model in the user's place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """What the model wants to have done.

    Args:
        id: by which the result is known to the model.
        name: of the tool.
        arguments: as the model gave them; text where it is not JSON.
    """

    id: str
    name: str
    arguments: Json | str

    def result(self, content: str) -> Json:
        """Return the message that tells the model what came of it."""
        return {"role": "tool", "tool_call_id": self.id, "content": content}


def calls_in(message: Message) -> list[ToolCall]:
    """Return the calls of tools that a model's message asks for, in its order."""
    if isinstance(message, Mapping):
        called = [(call["id"], call["function"]) for call in message.get("tool_calls") or ()]
        return [ToolCall(id=id, name=f["name"], arguments=_read(f["arguments"])) for id, f in called]
    made = [*getattr(message, "tool_calls", ()), *getattr(message, "invalid_tool_calls", ())]
    calls = [ToolCall(id=call["id"] or "", name=call["name"] or "", arguments=call["args"] or {}) for call in made]
    # LangChain completes JSON that was cut off, so that half of an amount looks like an amount.
    return [*calls[:-1], replace(calls[-1], arguments="cut off")] if calls and _is_cut(message) else calls


def _is_cut(message: Message) -> bool:
    told = getattr(message, "response_metadata", {})
    return any(str(told.get(name)).lower() in CUT_OFF for name in ("finish_reason", "stop_reason"))


def _read(arguments: str) -> Json | str:
    try:
        read = json.loads(arguments or "{}")
    except json.JSONDecodeError:
        return arguments
    return read if isinstance(read, dict) else arguments


def text_of(message: Message) -> str:
    """Return the text of a message, without images and the like."""
    content = message.get("content") if isinstance(message, Mapping) else message.content
    if isinstance(content, str) or content is None:
        return content or ""
    return "".join(block if isinstance(block, str) else block.get("text", "") for block in content)


def role_of(message: Message) -> str:
    """Return the role of a message in OpenAI's words: user, assistant, system or tool."""
    said = message["role"] if isinstance(message, Mapping) else message.type
    return {"human": "user", "ai": "assistant", "developer": "system"}.get(said, str(said))


def is_users(message: Message) -> bool:
    """Say whether a user said this: models are told a notice in the same role."""
    return role_of(message) == "user" and name_of(message) != NOTICE


def name_of(message: Message) -> str | None:
    """Return the name that a message bears, if any."""
    name = message.get("name") if isinstance(message, Mapping) else getattr(message, "name", None)
    return name if isinstance(name, str) else None


def given(input: Any) -> list[Message]:
    """Return the input of an agent as messages: a text is the user's."""
    if isinstance(input, str):
        return [{"role": "user", "content": input}]
    return input if isinstance(input, list) else [input]


def in_openai_form(messages: Sequence[Message]) -> list[Json]:
    """Return messages as dicts in OpenAI's shape, without ids and artifacts of tools, which are no model's business."""
    if all(isinstance(message, Mapping) for message in messages):
        return [{name: m[name] for name in m if name not in ("id", "artifact")} for m in messages]
    from langchain_core.messages import convert_to_messages, convert_to_openai_messages

    return list(convert_to_openai_messages(convert_to_messages(messages)))


def reply_with_id(reply: Message, id: str) -> Message:
    """Return a model's message, known by `id` if it names none itself.

    Raises:
        InvalidMessage: this is no message of a model.
    """
    message = {"id": id, "content": "", **reply} if isinstance(reply, Mapping) else reply
    try:
        is_said = role_of(message) == "assistant" and isinstance(text_of(message), str)
        calls_in(message)
    except (AttributeError, KeyError, TypeError):
        is_said = False
    if not is_said:
        raise InvalidMessage(
            "a model gives a message, a dict such as OpenAI's {'role': 'assistant', 'content': 'Hello', 'tool_calls': "
            f"[...]}} or one of LangChain's, not {reply!r:.300}; an SDK's object gives a dict by .model_dump()"
        )
    return message
