"""A model by script, for agents: a plain function from messages to a message, and what it says."""

from __future__ import annotations

import json
from typing import Any

ON_1: dict[str, Any] = {"configurable": {"thread_id": "1", "user_id": "bob"}}


class Script:
    """A model that says what it is told to say, by place in the conversation, so that it says the same after a crash.

    Args:
        lines: what it says, each to be given to the model's caller when so many messages of its own are there already;
            or a function from the messages to that.
    """

    def __init__(self, *lines: Any) -> None:
        self.lines = lines
        self.asked: list[list[dict[str, Any]]] = []
        self.told: list[dict[str, Any]] = []

    def __call__(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        self.asked.append(messages)
        self.told = tools
        line = self.lines[sum(message["role"] == "assistant" for message in messages)]
        said = line(messages) if callable(line) else line
        return {"role": "assistant", "content": said} if isinstance(said, str) else said


def calls(**tools: Any) -> dict[str, Any]:
    """Return a model's message that wants tools to be used, each given its arguments."""
    made = [
        {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for name, arguments in tools.items()
    ]
    return {"role": "assistant", "content": "", "tool_calls": made}


def results(messages: list[dict[str, Any]]) -> list[str]:
    """Return the results of tools in a conversation."""
    return [message["content"] for message in messages if message["role"] == "tool"]
