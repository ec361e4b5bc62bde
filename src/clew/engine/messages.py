"""Which messages a value holds, so that a stream shows each of them once. It imports nobody's classes to know them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


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


class Seen:
    """The messages that a stream need not show again: known by their ids, or by being the same object."""

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks: dict[str | int, Any] = {}

    def add(self, message: Any) -> bool:
        """Note a message; say whether it is new. Of several OS threads that say the same at once, one is told so."""
        name = message.get("id") if isinstance(message, Mapping) else getattr(message, "id", None)
        # One without an id is kept alive, so that no other object takes its place in memory.
        key, mark = (name, [None]) if isinstance(name, str) else (id(message), [message])
        return self._marks.setdefault(key, mark) is mark
