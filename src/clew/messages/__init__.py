"""add_messages: how new messages join a conversation.

Messages may be dicts with "role" and "content", for which nothing need be installed, or LangChain's classes. What is
new replaces what has its id and is appended otherwise. Nothing here knows of threads or
storage, and only `ids` of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeGuard, overload

from clew.errors import InvalidMessage
from clew.messages import langchain, plain
from clew.messages.kinds import REMOVE_ALL_MESSAGES, RemoveMessage, wants_langchain
from clew.messages.merging import merge

__all__ = ["REMOVE_ALL_MESSAGES", "RemoveMessage", "add_messages"]

PlainMessages = dict[str, Any] | RemoveMessage | Sequence[dict[str, Any] | RemoveMessage]
Format = Literal["langchain-openai"]


@overload
def add_messages(left: PlainMessages, right: PlainMessages, *, format: None = None) -> list[dict[str, Any]]: ...
@overload
def add_messages(left: Any, right: Any, *, format: Format | None = None) -> list[Any]: ...
@overload
def add_messages(*, format: Format | None = None) -> Callable[[Any, Any], list[Any]]: ...
def add_messages(left: Any = None, right: Any = None, *, format: Format | None = None) -> Any:
    """Return the messages of `left` with those of `right` added, replaced by id, or removed.

    Each side is one message or a list: a dict `{"role", "content"}`, a LangChain message, a text (the user's), or a
    pair `("user", "text")`. `right` may hold `RemoveMessage(id)`; `RemoveMessage(REMOVE_ALL_MESSAGES)` drops all that
    came before it. Dicts stay dicts where all messages are; one LangChain message, a serialized one
    (`{"type", "content"}`), or a text or pair where langchain-core is installed, makes all of them LangChain's.

    Args:
        left: what is there already.
        right: what is new.
        format: "langchain-openai" gives LangChain messages whose content blocks are OpenAI's.

    Returns:
        A new list; neither list given is changed. Messages without an id are given one, those passed in as well.
        Without `left` and `right`: a function of the two.

    Raises:
        InvalidMessage: no message, an unknown role, a removal of an unknown id, one side alone, an unknown format.
        MissingDependency: LangChain's form was asked for and langchain-core is not installed.
    """
    if format not in (None, "langchain-openai"):
        raise InvalidMessage(f"add_messages: format must be 'langchain-openai' or None, not {format!r}")
    if left is None and right is None:
        return partial(_add, format=format)
    return _add(left, right, format=format)


def _add(left: Any, right: Any, *, format: Format | None) -> list[Any]:
    if left is None or right is None:
        missing, given = ("left", "right") if left is None else ("right", "left")
        raise InvalidMessage(f"add_messages: {missing} is None and {given} is not; give both (an empty list is fine)")
    before, new = _as_list(left), _as_list(right)
    known = plain.read_complete(before)
    if format or wants_langchain([] if known else before, new):
        merged = merge(langchain.read(before), langchain.read(new))
        return langchain.to_openai(merged) if format else merged
    return merge(known or plain.read(before), plain.read(new))


def _as_list(given: object) -> list[Any]:
    return given if _is_list(given) else [given]


def _is_list(given: object) -> TypeGuard[list[Any]]:
    return isinstance(given, list)
