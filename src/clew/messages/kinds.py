"""What may stand for a message, and whether the outcome is dicts or LangChain messages.

Never imports langchain-core to find out what something is: an instance of its classes is there only if it is loaded.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, TypeGuard

from clew.errors import InvalidMessage

REMOVE_ALL_MESSAGES = "__remove_all__"
"""As the id of a RemoveMessage: drop everything that came before it."""

ROLES = frozenset({"human", "user", "ai", "assistant", "system", "developer", "tool", "function"})


@dataclass(frozen=True, slots=True)
class RemoveMessage:
    """In the right of `add_messages`: remove the message of that id. LangChain's class of this name does the same.

    Args:
        id: id of a message, or REMOVE_ALL_MESSAGES.

    Raises:
        InvalidMessage: the id is not text.
    """

    id: str
    type: ClassVar[str] = "remove"
    content: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if not isinstance(self.id, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers pass message.id
            raise InvalidMessage(f"RemoveMessage needs the id of a message (text), not {self.id!r}")


def wants_langchain(left: list[Any], right: list[Any]) -> bool:
    """Say whether messages of these kinds become LangChain messages."""
    loose = False
    for side in (left, right):
        types = set(map(type, side))
        if any(_is_langchain(cls) for cls in types) or any(is_serialized(m) for m in _without_role(side, types)):
            return True
        loose = loose or any(issubclass(cls, str | tuple | list) for cls in types)
    return loose and _is_installed()


def _is_langchain(cls: type[Any]) -> bool:
    base, removal = _langchain_class("base", "BaseMessage"), _langchain_class("modifier", "RemoveMessage")
    # A removal is in no outcome, so that it decides nothing.
    return base is not None and issubclass(cls, base) and not (removal is not None and issubclass(cls, removal))


def _without_role(messages: list[Any], types: set[type[Any]]) -> list[dict[str, Any]]:
    dicts = messages if types == {dict} else [m for m in messages if is_dict(m)]
    return [m for m in dicts if "role" not in m]


def is_dict(message: object) -> TypeGuard[dict[str, Any]]:
    """Say whether this is a message as a dict."""
    return isinstance(message, dict)


def is_serialized(message: dict[str, Any]) -> bool:
    """Say whether this is a message in LangChain's own form: {"type": ..., "content": ...}."""
    return "role" not in message and message.get("type", "remove") != "remove"


def as_removal(message: Any) -> RemoveMessage | None:
    """Return the removal that this asks for, whatever class or dict says it, or None for a message."""
    if isinstance(message, RemoveMessage):
        return message
    if is_dict(message):
        asked = "remove" in (message.get("role"), message.get("type"))
        return RemoveMessage(message.get("id", "")) if asked else None
    return RemoveMessage(getattr(message, "id", "")) if getattr(message, "type", None) == "remove" else None


def check_role(role: object) -> None:
    """Refuse a role that nobody plays.

    Raises:
        InvalidMessage: the role is unknown.
    """
    if role is None:
        raise InvalidMessage(
            f"a message that is a dict needs a 'role' and a 'content'; roles: {', '.join(sorted(ROLES))}"
        )
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidMessage(f"unknown message role {role!r}; use one of {', '.join(sorted(ROLES))}")


def refuse(message: object) -> NoReturn:
    """Raise InvalidMessage: this is nothing that add_messages takes."""
    raise InvalidMessage(
        f"not a message: {message!r:.200} ({type(message).__name__}); give a dict with 'role' and 'content', "
        "a LangChain message, a text, a pair (role, content), or a list of these"
    )


def _langchain_class(module: str, name: str) -> type[Any] | None:
    return getattr(sys.modules.get(f"langchain_core.messages.{module}"), name, None)


def _is_installed() -> bool:
    try:
        importlib.import_module("langchain_core.messages")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "langchain_core":
            return False
        raise
    return True
