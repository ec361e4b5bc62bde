"""Which messages a value holds, and which message a chunk is a piece of, so that a stream shows each of them once.

It imports nobody's classes to know them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct


def found_in(value: Any) -> Iterator[Any]:
    """Yield the messages in a value: itself, those of a list, or those of a dict's values and their lists."""
    inner = value.values() if isinstance(value, Mapping) and not _is_message(value) else (value,)
    for one in inner:
        yield from (part for part in (one if isinstance(one, list | tuple) else (one,)) if _is_message(part))


def _is_message(value: Any) -> bool:
    if isinstance(value, Mapping):
        return isinstance(value.get("role"), str) and "content" in value
    return any(
        cls.__name__ == "BaseMessage" and cls.__module__.startswith("langchain_core.") for cls in type(value).__mro__
    )


def id_of(chunk: Any) -> str | None:
    """Return the id of the message that a chunk is, begins or continues, or None if it tells none.

    Sources: the streams of OpenAI's Chat Completions (`id`) and Responses (`item_id`, or `item` or `response` with an
    `id`), and of Anthropic's Messages (`message` with an `id`, at the beginning alone).
    """
    parts = (_part(chunk, "item_id"), _part(chunk, "id"), *(_part(_part(chunk, at), "id") for at in _WITH_IDS))
    return next((id for id in parts if isinstance(id, str)), None)


_WITH_IDS = ("item", "message", "response")


def _part(whole: Any, name: str) -> Any:
    return whole.get(name) if isinstance(whole, Mapping) else getattr(whole, name, None)


class Speech(Struct, kw_only=True):
    """What a call has said so far, piece by piece.

    Args:
        id: of the message that it says now.
        is_named: whether a piece told that id.
    """

    id: str
    is_named: bool = False

    def hear(self, chunk: Any) -> str:
        """Return the id of the message that the next piece belongs to: its own, or that of the piece before."""
        if (id := id_of(chunk)) is not None:
            self.id, self.is_named = id, True
        return self.id

    def holds(self, message: Any) -> bool:
        """Say whether a whole message is what was said in pieces: a model's, as a dict, whose id no piece told."""
        is_named = self.is_named and isinstance(_part(message, "id"), str)
        return isinstance(message, Mapping) and message.get("role") == "assistant" and not is_named


class Seen:
    """The messages that a stream need not show again: known by their ids, and by being the same object."""

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks: dict[str | int, Any] = {}

    def add(self, message: Any) -> bool:
        """Note a message; say whether it is new. Of several OS threads that say the same at once, one is told so."""
        # Kept alive, so that no other object takes its place in memory. It may be given an id later.
        mark = [message]
        is_new = self._marks.setdefault(id(message), mark) is mark
        name = _part(message, "id")
        return self.add_id(name) and is_new if isinstance(name, str) else is_new

    def add_id(self, name: str) -> bool:
        """Note the id of a message; say whether it is new."""
        mark = [name]
        return self._marks.setdefault(name, mark) is mark
