"""What a message says, in either form: a dict in the shape of OpenAI's Chat Completions, or LangChain's classes.

An agent reads messages through these functions alone, so that it need not know which form its thread is in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clew.errors import InvalidMessage

Json = dict[str, Any]
Message = Any
"""A dict with "role" and "content", or a LangChain message."""


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
    return [ToolCall(id=call["id"] or "", name=call["name"] or "", arguments=call["args"] or {}) for call in made]


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


def name_of(message: Message) -> str | None:
    """Return the name that a message bears, if any."""
    name = message.get("name") if isinstance(message, Mapping) else message.name
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
    is_message = isinstance(reply, Mapping) or hasattr(reply, "content")
    if not is_message or role_of(reply) != "assistant":
        raise InvalidMessage(
            f"a model gives a message such as {{'role': 'assistant', 'content': ...}}, not {reply!r:.200}"
        )
    return {"id": id, "content": "", **reply} if isinstance(reply, Mapping) else reply
