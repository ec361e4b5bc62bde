"""What model providers refuse: the rules of their two protocols that code of ours could break. Knows only JSON.

Sources: OpenAI's API reference, "Create chat completion"; Anthropic's API reference, "Create a Message", and its page
on tool use. Both refuse fields that they do not know, and calls of tools that are not answered at once.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_CHAT_FIELDS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls", "refusal"},
    "tool": {"role", "content", "tool_call_id"},
}
_BLOCK_FIELDS = {
    "text": {"type", "text"},
    "image": {"type", "source"},
    "tool_use": {"type", "id", "name", "input"},
    "tool_result": {"type", "tool_use_id", "content", "is_error"},
}


def wrong_with_chat_completion(request: Json) -> str | None:
    """Return what OpenAI would refuse in a request, or None."""
    if not request.get("model") or not request.get("messages"):
        return "model and messages are required"
    unanswered: set[str] = set()
    for place, message in enumerate(request["messages"]):
        role = message.get("role")
        if unknown := set(message) - _CHAT_FIELDS.get(role, set()):
            return f"messages.{place}: unknown {sorted(unknown)} in a message of role {role!r}"
        if role == "tool":
            if message["tool_call_id"] not in unanswered:
                return f"messages.{place}: there is no open tool call {message['tool_call_id']!r}"
            unanswered.remove(message["tool_call_id"])
        elif unanswered:
            return f"messages.{place}: tool calls were not answered: {sorted(unanswered)}"
        unanswered |= {call["id"] for call in message.get("tool_calls", ())}
    return f"tool calls were not answered: {sorted(unanswered)}" if unanswered else None


def wrong_with_messages(request: Json) -> str | None:
    """Return what Anthropic would refuse in a request, or None."""
    if missing := {"model", "messages", "max_tokens"} - set(request):
        return f"required: {sorted(missing)}"
    messages = request["messages"]
    if not messages or messages[0].get("role") != "user":
        return "the first message must be the user's"
    used = {block["type"] for message in messages for block in _blocks(message["content"])}
    if used & {"tool_use", "tool_result"} and not request.get("tools"):
        return "requests which include tool_use or tool_result blocks must define tools"
    open_uses: set[str] = set()
    for place, message in enumerate(messages):
        if set(message) != {"role", "content"} or message["role"] not in ("user", "assistant"):
            return f"messages.{place}: role (user or assistant) and content are all that is permitted, got {message}"
        blocks = _blocks(message["content"])
        if (wrong := _wrong_with_blocks(blocks)) is not None:
            return f"messages.{place}: {wrong}"
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if results != open_uses:
            return f"messages.{place}: results for {sorted(results)}, but these were to be used: {sorted(open_uses)}"
        open_uses = {block["id"] for block in blocks if block["type"] == "tool_use"}
    return f"the last message leaves tools unused: {sorted(open_uses)}" if open_uses else None


def _blocks(content: Any) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _wrong_with_blocks(blocks: list[Json]) -> str | None:
    if not blocks:
        return "content is empty"
    for block in blocks:
        if unknown := set(block) - _BLOCK_FIELDS.get(block.get("type", ""), set()):
            return f"unknown {sorted(unknown)} in a block of type {block.get('type')!r}"
        if block["type"] == "text" and not block["text"].strip():
            return "text must not be empty"
    return None
