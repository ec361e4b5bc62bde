"""How much of a conversation the model is shown: within a budget, and never a tool's call without its result.

The thread keeps everything. A summary is a message of its own in it, and stands for all that came before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clew import Task, add_messages
from clew.agents.forms import Message, calls_in, in_openai_form, is_users, name_of, role_of, text_of

SUMMARY = "summary"
"""The name that a summary bears as a message."""

Count = Callable[[str], int]
"""Counts the tokens of a text."""

_BYTES_PER_TOKEN = 4
_PER_MESSAGE = 4
_PER_IMAGE = 1000
_SUMMARISE = "Summarise this conversation for yourself, so that you can go on with it: facts, decisions, what is open."


def tokens_in(text: str) -> int:
    """Estimate the tokens of a text: four bytes of UTF-8 each.

    Source: OpenAI's help page "What are tokens and how to count them?", four characters of English; counting bytes
    gives the more that other scripts need.
    """
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


def tokens_of(messages: Sequence[Message], count: Count = tokens_in) -> int:
    """Count the tokens of messages, with the calls that they ask for. An image or a file is taken for a thousand."""
    total = 0
    for message in in_openai_form(messages):
        content = message.get("content")
        blocks = [block for block in content if isinstance(block, Mapping)] if isinstance(content, list) else []
        said = [text_of(message), *(json.dumps(call) for call in message.get("tool_calls") or ())]
        others = sum("text" not in block for block in blocks)
        total += _PER_MESSAGE + sum(map(count, said)) + _PER_IMAGE * others
    return total


def trim(messages: Sequence[Message], budget: int, *, count_tokens: Count = tokens_in) -> list[Message]:
    """Return the newest messages that fit into a budget.

    What begins with the user's last message comes first: that message is always kept, and so is the newest answer with
    the results of its tools. Older turns are kept as wholes.

    Args:
        messages: a conversation.
        budget: in tokens.
        count_tokens: counts the tokens of a text; by default they are estimated.
    """
    groups = _groups(messages)
    asked = max((at for at, group in enumerate(groups) if is_users(group[0])), default=0)
    left = budget - tokens_of(groups[asked], count_tokens) if groups else 0
    now = _newest(groups[asked + 1 :], left, count_tokens, at_least=1)
    if len(now) < len(groups) - asked - 1:
        return _joined([groups[asked], *now])
    left -= tokens_of(_joined(now), count_tokens)
    turns = [_joined(turn) for turn in _split(groups[:asked], lambda group: is_users(group[0]))]
    return _joined([*_newest(turns, left, count_tokens), *groups[asked:]])


def within(messages: Sequence[Message], budget: int | None, count: Count) -> list[Message]:
    """Return what a model is shown of a conversation: the last summary and what follows it, as far as that fits."""
    recent = since_summary(messages)
    if budget is None:
        return recent
    summary = recent[:1] if recent and is_summary(recent[0]) else []
    return [*summary, *trim(recent[len(summary) :], budget - tokens_of(summary, count), count_tokens=count)]


def since_summary(messages: Sequence[Message]) -> list[Message]:
    """Return what follows the last summary, which comes first."""
    at = max((at for at, message in enumerate(messages) if is_summary(message)), default=0)
    return list(messages[at:])


def is_summary(message: Message) -> bool:
    """Say whether a message is a summary of what came before it."""
    return role_of(message) == "system" and name_of(message) == SUMMARY


async def shortened(messages: list[Message], budget: int, summarise: Task[..., Message], count: Count) -> list[Message]:
    """Return a conversation with a summary of its older turns in it, where it is beyond the budget.

    Args:
        messages: the conversation before a new turn.
        budget: in tokens. What stays of it as it is fits into half of that.
        summarise: the task that gives a summary of messages.
        count: counts the tokens of a text.
    """
    recent = since_summary(messages)
    if tokens_of(recent, count) <= budget:
        return messages
    turns = _split(recent, is_users)
    older = len(recent) - len(_joined(_newest(turns, budget // 2, count)))
    summary = text_of(await summarise(recent[:older]))
    at = len(messages) - len(recent) + older
    made = {"role": "system", "name": SUMMARY, "content": f"Summary of what came before:\n{summary}"}
    return add_messages([], [*messages[:at], made, *messages[at:]])


def summary_request(messages: Sequence[Message]) -> list[Message]:
    """Return what a model is told to have it summarise messages."""
    said = [f"{role_of(m)}: {text_of(m)}{_calls_told(m)}" for m in messages]
    return [{"role": "system", "content": _SUMMARISE}, {"role": "user", "content": "\n".join(said)}]


def _calls_told(message: Message) -> str:
    return "".join(f" [{call.name} {json.dumps(call.arguments)}]" for call in calls_in(message))


def _groups(messages: Sequence[Message]) -> list[list[Message]]:
    """Put each result of a tool together with the message that asked for it."""
    return _split(messages, lambda message: role_of(message) != "tool")


def _split(items: Sequence[Any], begins: Callable[[Any], bool]) -> list[list[Any]]:
    parts: list[list[Any]] = []
    for item in items:
        if begins(item) or not parts:
            parts.append([])
        parts[-1].append(item)
    return parts


def _newest(parts: Sequence[list[Message]], budget: int, count: Count, at_least: int = 0) -> list[list[Message]]:
    kept: list[list[Message]] = []
    for part in reversed(parts):
        budget -= tokens_of(part, count)
        if budget < 0 and len(kept) >= at_least:
            break
        kept.insert(0, part)
    return kept


def _joined(parts: Sequence[Sequence[Any]]) -> list[Any]:
    return [item for part in parts for item in part]
