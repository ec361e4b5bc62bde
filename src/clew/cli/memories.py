"""What the assistant keeps of its users: where it lies, what counts as a wish to keep something, how it is found."""

from __future__ import annotations

import re
from uuid import uuid4

from clew import BaseStore, Item
from clew.errors import UsageError

MOST_SHOWN = 1000

# "Remember: …", "Hi! Remember that …", "please remember …"; not "do you remember …" and not "I remember …".
_WISH = re.compile(
    r"(?:^|[.!?,;:\n]\s*|\b(?:please|and|also)\s+)remember\b[\s:,]*(?:that\b[\s:,]*)?(?P<what>.+)", re.I | re.S
)


def wish_in(text: str) -> str | None:
    """Return what a message asks to be remembered, or None."""
    found = _WISH.search(text)
    what = found["what"].strip() if found else ""
    return what if what and not what.endswith("?") else None


def namespace_of(user_id: str) -> tuple[str, str]:
    """Return where a user's memories are kept."""
    return ("memories", user_id)


async def keep(store: BaseStore, user_id: str, text: str) -> None:
    """Keep a text under a fresh key."""
    await store.aput(namespace_of(user_id), str(uuid4()), {"data": text})


async def related(store: BaseStore, user_id: str, text: str, *, limit: int = 5) -> list[str]:
    """Return the memories nearest to a text, best first."""
    found = await store.asearch(namespace_of(user_id), query=text, limit=limit)
    return [str(item.value["data"]) for item in found]


def all_of(store: BaseStore, user_id: str) -> list[Item]:
    """Return a user's memories, oldest first; at most `MOST_SHOWN` of them."""
    return sorted(store.search(namespace_of(user_id), limit=MOST_SHOWN), key=lambda item: item.created_at)


def forget(store: BaseStore, user_id: str, key: str) -> str:
    """Delete the one memory whose key begins with `key`, and return its text.

    Raises:
        UsageError: no memory's key begins so, or several do.
    """
    found = [item for item in all_of(store, user_id) if key and item.key.startswith(key)]
    if len(found) != 1:
        how_many = "no memory has" if not found else f"{len(found)} memories have"
        raise UsageError(f"{how_many} a key that begins with {key!r}; /memories shows the keys")
    store.delete(namespace_of(user_id), found[0].key)
    return str(found[0].value["data"])
