"""How much of a conversation the model is shown: within a budget, and never a tool's call without its result.

The thread keeps everything. A summary is a message of its own in it, and stands for all that came before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from clew.agents.forms import Message, in_openai_form, name_of, role_of

SUMMARY = "summary"
"""The name that a summary bears as a message."""

_BYTES_PER_TOKEN = 4
_PER_MESSAGE = 4


def tokens_in(text: str) -> int:
    """Estimate the tokens of a text: four bytes of UTF-8 each.

    Source: OpenAI's help page "What are tokens and how to count them?", four characters of English; counting bytes
    gives the more that other scripts need.
    """
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


def tokens_of(message: Message) -> int:
    """Estimate the tokens of a message, with the calls that it asks for."""
    [plain] = in_openai_form([message])
    said = [str(plain.get("content") or ""), *(json.dumps(call) for call in plain.get("tool_calls") or ())]
    return _PER_MESSAGE + sum(map(tokens_in, said))


def trim(messages: Sequence[Message], budget: int) -> list[Message]:
    """Return the newest messages that fit into a budget.

    What begins with the user's last message comes first: that message is always kept, and so is the newest answer with
    the results of its tools. Older turns are kept as wholes.

    Args:
        messages: a conversation.
        budget: tokens, as `tokens_in` estimates them.
    """
    groups = _groups(messages)
    asked = max((at for at, group in enumerate(groups) if role_of(group[0]) == "user"), default=0)
    left = budget - sum(map(tokens_of, groups[asked])) if groups else 0
    now = _newest(groups[asked + 1 :], left, at_least=1)
    if len(now) < len(groups) - asked - 1:
        return _joined([groups[asked], *now])
    left -= sum(map(tokens_of, _joined(now)))
    turns = [_joined(turn) for turn in _split(groups[:asked], lambda group: role_of(group[0]) == "user")]
    return _joined([*_newest(turns, left), *groups[asked:]])


def since_summary(messages: Sequence[Message]) -> list[Message]:
    """Return what follows the last summary, which comes first."""
    at = max((at for at, message in enumerate(messages) if is_summary(message)), default=0)
    return list(messages[at:])


def is_summary(message: Message) -> bool:
    """Say whether a message is a summary of what came before it."""
    return role_of(message) == "system" and name_of(message) == SUMMARY


def older_turns(messages: Sequence[Message], budget: int) -> int:
    """Return how many messages are to be summarised: all but the last turns that fit into half the budget."""
    if sum(map(tokens_of, messages)) <= budget:
        return 0
    turns = _split(messages, lambda message: role_of(message) == "user")
    return len(messages) - len(_joined(_newest(turns, budget // 2)))


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


def _newest(parts: Sequence[list[Message]], budget: int, at_least: int = 0) -> list[list[Message]]:
    kept: list[list[Message]] = []
    for part in reversed(parts):
        budget -= sum(map(tokens_of, part))
        if budget < 0 and len(kept) >= at_least:
            break
        kept.insert(0, part)
    return kept


def _joined(parts: Sequence[Sequence[Any]]) -> list[Any]:
    return [item for part in parts for item in part]
