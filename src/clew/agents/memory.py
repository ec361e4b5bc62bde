"""What an agent remembers of its users across threads: tools to keep and find it, and a step that recalls it.

Whose memory it is comes from the config alone. A model cannot name a namespace, so it cannot read another user's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from clew import BaseStore, Item, Runtime, get_config, get_store
from clew.agents.forms import Message, is_users, text_of
from clew.agents.history import Count, tokens_in
from clew.agents.tools import Tool, as_tools
from clew.errors import InvalidOption

_PLACE = re.compile(r"\{(\w+)\}")
_HEADING = "What you remember of earlier conversations:"
_AGES = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"))


def memory_tools(namespace: Sequence[str]) -> list[Tool]:
    """Return the tools `manage_memory` and `search_memory`.

    Args:
        namespace: labels in which `{user_id}` stands for `config["configurable"]["user_id"]`, and so on.
    """

    def manage_memory(
        *, content: str | None = None, key: str | None = None, store: BaseStore, runtime: Runtime[Any], config: Any
    ) -> str:
        """Keep something for later conversations, or correct or forget what you remember.

        Give `content` alone to keep it; `content` and the `key` of a memory to correct it; the `key` alone to forget
        it. Keep each fact by itself, in a sentence that can be understood on its own.
        """
        place = filled(namespace, config)
        if key and store.get(place, key) is None:
            return f"Error: there is no memory with the key {key!r}"
        if content:
            kept = key or runtime.idempotency_key[:12]
            store.put(place, kept, {"content": content, "thread": _thread_of(runtime)})
            return f"Kept as {kept}."
        if key:
            store.delete(place, key)
            return f"Forgot {key}."
        return "Error: give content, key or both"

    def search_memory(query: str, limit: int = 5, *, store: BaseStore, config: Any) -> list[str]:
        """Look up what you remember of earlier conversations."""
        found = store.search(filled(namespace, config), query=query, limit=max(1, min(limit, 20)))
        return [_told(item) for item in found]

    check_namespace(namespace)
    return list(as_tools([manage_memory, search_memory]).values())


def recall(
    namespace: Sequence[str], *, tokens: int = 500, limit: int = 20, count_tokens: Count = tokens_in
) -> Callable[[Sequence[Message]], str]:
    """Return the step that finds the memories nearest to what the user said last; `create_agent` takes it as a prompt.

    Args:
        namespace: as for `memory_tools`.
        tokens: about how long all of them may be.
        limit: how many at most.
        count_tokens: counts the tokens of a text; by default they are estimated, as four bytes each.
    """

    def recalled(messages: Sequence[Message]) -> str:
        asked = next((text_of(m) for m in reversed(messages) if is_users(m)), "")
        lines, left = [_HEADING], tokens - count_tokens(_HEADING)
        for item in get_store().search(filled(namespace, get_config()), query=asked or None, limit=limit):
            line = f"- {_told(item)}"
            if (cost := count_tokens(line)) <= left:
                lines.append(line)
                left -= cost
        return "\n".join(lines) if len(lines) > 1 else ""

    check_namespace(namespace)
    return recalled


def filled(namespace: Sequence[str], config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a namespace with its places filled from the config.

    Raises:
        InvalidOption: the config does not say.
    """
    known = config.get("configurable") or {}

    def fill(found: re.Match[str]) -> str:
        value = known.get(found[1])
        if value is None or value == "":
            raise InvalidOption(f"memory in {tuple(namespace)} needs {found[1]!r} in config['configurable']")
        return str(value)

    return tuple(_PLACE.sub(fill, label) for label in namespace)


def check_namespace(namespace: Sequence[str]) -> None:
    """Refuse what is no namespace.

    Raises:
        InvalidOption: it is no tuple of labels, or a place in it has no name that could be filled.
    """
    if isinstance(namespace, str) or not namespace:
        raise InvalidOption(f"a namespace is a tuple of labels such as ('memories', '{{user_id}}'), not {namespace!r}")
    # What stays in braces would be one and the same memory for all users.
    if unnamed := [label for label in namespace if set("{}") & set(_PLACE.sub("", label))]:
        raise InvalidOption(f"in the namespace {tuple(namespace)}, {unnamed} is no place such as '{{user_id}}'")


def _thread_of(runtime: Runtime[Any]) -> str | None:
    return runtime.execution_info.thread_id if runtime.execution_info else None


def _told(item: Item) -> str:
    """Tell a memory with its key, its age and the thread it comes from."""
    source = item.value.get("thread")
    content = item.value.get("content", item.value)
    return f"[{item.key}] {content} ({_age(item.updated_at)}{f', thread {source}' if source else ''})"


def _age(since: datetime) -> str:
    seconds = (datetime.fromtimestamp(time.time(), UTC) - since).total_seconds()
    for unit_s, unit in _AGES:
        if (number := int(seconds // unit_s)) >= 1:
            return f"{number} {unit}{'s' if number > 1 else ''} ago"
    return "just now"
