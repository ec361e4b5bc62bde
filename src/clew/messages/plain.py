"""Messages as dicts with "role" and "content": checked, given ids, otherwise kept as they came. Imports nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard, cast

from clew.errors import InvalidMessage
from clew.messages.ids import new_id
from clew.messages.kinds import ROLES, RemoveMessage, as_removal, check_role, is_dict, refuse
from clew.messages.merging import Batch


def read(messages: list[Any]) -> Batch:
    """Return the messages as dicts, each with an id; a dict without one is given it.

    Raises:
        InvalidMessage: a role that nobody plays, no content, or an id that is not text.
    """
    given = [as_removal(message) or _identified(message) for message in messages]
    ids = [m.id if isinstance(m, RemoveMessage) else m["id"] for m in given]
    return Batch(messages=given, ids=ids, has_removals=RemoveMessage in map(type, given))


def read_complete(messages: list[Any]) -> Batch | None:
    """Return the messages if all are dicts that lack nothing, as in a long thread: one short loop, no call for each."""
    try:
        ids = [
            message["id"]
            for message in messages
            if message["role"] in ROLES
            and message.__class__ is dict
            and ("content" in message or "tool_calls" in message)
        ]
    except (KeyError, TypeError):
        return None
    complete = len(ids) == len(messages) and set(map(type, ids)) <= {str}
    return Batch(messages=messages, ids=ids) if complete else None


def _identified(message: object) -> dict[str, Any]:
    given = message if is_dict(message) else _from_loose(message)
    check(given)
    if given.get("id") is None:
        given["id"] = new_id()
    return given


def _from_loose(message: object) -> dict[str, Any]:
    role, content = role_and_content(message)
    return {"role": role, "content": content}


def check(message: dict[str, Any]) -> None:
    """Refuse a dict with a "role" that is no message.

    Raises:
        InvalidMessage: a role that nobody plays, no content, or an id that is not text.
    """
    check_role(message.get("role"))
    if "content" not in message and "tool_calls" not in message:
        raise InvalidMessage(f"a message needs 'role' and 'content', got {message!r:.200}")
    if not isinstance(message.get("id"), str | None):
        raise InvalidMessage(f"the id of a message must be text, not {message['id']!r}")


def role_and_content(message: object) -> tuple[str, Any]:
    """Return the role and content of a text or of a pair (role, content).

    Raises:
        InvalidMessage: neither of the two, or a role that nobody plays.
    """
    if isinstance(message, str):
        return "user", message
    if not _is_pair(message):
        refuse(message)
    role, content = message
    check_role(role)
    return role, content


def _is_pair(message: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(message, tuple | list) and len(cast("Sequence[Any]", message)) == 2
