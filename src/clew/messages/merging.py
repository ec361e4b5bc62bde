"""The rule by which new messages join old ones. Knows ids and removals, not what a message is made of."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from clew.errors import InvalidMessage
from clew.messages.kinds import REMOVE_ALL_MESSAGES, RemoveMessage


class Batch(Struct, frozen=True, kw_only=True):
    """One side of a merge.

    Args:
        messages: messages of one kind, and removals.
        ids: the id of each, in the same order.
        has_removals: whether there are any.
    """

    messages: list[Any]
    ids: list[str]
    has_removals: bool = False


def merge(left: Batch, right: Batch) -> list[Any]:
    """Return a new list: `left`, with what `right` replaces, appends and removes.

    Raises:
        InvalidMessage: a removal in `left`, or of an id that was never there.
    """
    if left.has_removals:
        raise InvalidMessage("a RemoveMessage in the left of add_messages removes nothing; give it in the right")
    start = _after_last_clearing(right)
    dropped = {*left.ids, *right.ids[:start]} if start else set[str]()
    merged, ids = ([], []) if start else (left.messages.copy(), left.ids.copy())
    places = _places(ids, set(right.ids))
    gone: set[str] = set()
    for message, id in zip(right.messages[start:], right.ids[start:], strict=True):
        if isinstance(message, RemoveMessage):
            if id not in places and id not in dropped:
                raise InvalidMessage(f"Attempting to delete a message with an ID that doesn't exist ('{id}')")
            gone.add(id)
            continue
        gone.discard(id)
        if id in places:
            merged[places[id]] = message
        else:
            places[id] = len(merged)
            merged.append(message)
            ids.append(id)
    return [m for m, id in zip(merged, ids, strict=True) if id not in gone] if gone else merged


def _places(ids: list[str], wanted: set[str]) -> dict[str, int]:
    """Return where the wanted ids are. Most turns only add, which is seen without a loop over a long thread."""
    return {} if wanted.isdisjoint(ids) else {id: place for place, id in enumerate(ids) if id in wanted}


def _after_last_clearing(batch: Batch) -> int:
    """Return the place after the last removal of everything, 0 if there is none."""
    if REMOVE_ALL_MESSAGES not in batch.ids:
        return 0
    removals = [m.id if isinstance(m, RemoveMessage) else "" for m in batch.messages]
    return max((i + 1 for i, id in enumerate(removals) if id == REMOVE_ALL_MESSAGES), default=0)
