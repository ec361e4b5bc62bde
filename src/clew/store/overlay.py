"""Reads over a store that cannot look ahead: what it would answer had some writes been applied already.

Pure: it says what to ask the store below, and makes the answer of what that gives. Nothing here calls a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from clew.store.filters import matches, parse_filter
from clew.store.listing import check_listing
from clew.store.namespaces import below, list_matching
from clew.store.operations import GetOp, Item, ListNamespacesOp, Namespace, Op, PutOp, Result, SearchItem, SearchOp
from clew.store.planning import PreparedWrite
from clew.store.values import decode_value

_EVERY = 2**31 - 1
_Place = tuple[Namespace, str]


class Overlay:
    """Writes that wait, over a store below: ask it `asks` and `widened(op)`, `learn`, and `answer`.

    Args:
        writes: the writes in order; the last one of a key counts.
        now: when they count as written.
    """

    def __init__(self, writes: Sequence[PreparedWrite], now: datetime) -> None:
        self._writes: dict[_Place, PreparedWrite] = {}
        for write in writes:
            self._writes.pop((write.namespace, write.key), None)  # so that the order is that of the last writes
            self._writes[write.namespace, write.key] = write
        self._now = now
        self._before: dict[_Place, Item | None] = {}
        self._beside: dict[Namespace, list[SearchItem]] = {}

    def asks(self, ops: Sequence[Op]) -> list[GetOp | SearchOp]:
        """Give what has to be known of the store below before these operations can be answered."""
        gets = [GetOp(namespace, key, False) for namespace, key in self._writes]
        if not any(isinstance(op, ListNamespacesOp) for op in ops):
            return list(gets)
        emptied = dict.fromkeys(w.namespace for w in self._writes.values() if w.value is None)
        return [*gets, *(SearchOp(namespace, None, _EVERY, 0, None, False) for namespace in emptied)]

    def learn(self, asked: Sequence[GetOp | SearchOp], found: Sequence[Any]) -> None:
        """Take what the store below gave for `asks`."""
        for op, result in zip(asked, found, strict=True):
            if isinstance(op, GetOp):
                self._before[op.namespace, op.key] = result
            else:
                self._beside[op.namespace_prefix] = [i for i in result if i.namespace == op.namespace_prefix]

    def widened(self, op: Op) -> Op:
        """Give the operation to ask the store below: enough of it that the page can still be cut out."""
        if not self._writes:
            return op
        if isinstance(op, SearchOp):
            return op._replace(limit=min(_EVERY, op.offset + op.limit + len(self._writes)), offset=0)
        if isinstance(op, ListNamespacesOp):
            return ListNamespacesOp()._replace(limit=_EVERY)
        return op

    def answer(self, op: Op, found: Any) -> Result:
        """Give what the operation would give were the writes applied, from what the store below gave.

        Raises:
            InvalidFilter: the filter is none of Clew's.
        """
        match op:
            case GetOp():
                place = (op.namespace, op.key)
                given: Item | None = self._item(place) if place in self._writes else found
                return given
            case SearchOp() if self._writes:
                return self._search(op, found)
            case ListNamespacesOp() if self._writes:
                listing = check_listing(op)
                held = self._namespaces(found)
                return list_matching(held, listing.conditions, listing.max_depth, listing.limit, listing.offset)
            case PutOp():
                return None
            case _:
                result: Result = found
                return result

    def _search(self, op: SearchOp, found: list[SearchItem]) -> list[SearchItem]:
        condition = parse_filter(op.filter)
        kept = [item for item in found if (item.namespace, item.key) not in self._writes]
        places = [place for place in reversed(self._writes) if below(place[0], op.namespace_prefix)]
        new = [item for place in places if (item := self._item(place)) and matches(condition, item.value)]
        # Nobody has ranked what is new: as an item without vectors, it comes after all that was.
        page = [*kept, *new] if op.query else [*new, *kept]
        return page[op.offset : op.offset + op.limit]

    def _namespaces(self, found: Iterable[Namespace]) -> set[Namespace]:
        held = set(found)
        held |= {namespace for (namespace, _), write in self._writes.items() if write.value is not None}
        return {namespace for namespace in held if namespace not in self._beside or self._holds_some(namespace)}

    def _holds_some(self, namespace: Namespace) -> bool:
        left = {(item.namespace, item.key) for item in self._beside[namespace]} - self._writes.keys()
        put = (w.value is not None for w in self._writes.values() if w.namespace == namespace)
        return bool(left) or any(put)

    def _item(self, place: _Place) -> SearchItem | None:
        write, before = self._writes[place], self._before.get(place)
        if write.value is None:
            return None
        return SearchItem(
            namespace=write.namespace,
            key=write.key,
            value=decode_value(write.value),
            created_at=before.created_at if before else self._now,
            updated_at=self._now,
        )
