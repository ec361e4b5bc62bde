"""What a view below some labels makes of operations on their way in, and of results on their way out. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from clew.errors import UsageError
from clew.store.listing import check_listing
from clew.store.namespaces import check_labels, check_namespace, list_matching
from clew.store.operations import (
    GetOp,
    HistoryOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Namespace,
    NamespacePath,
    Op,
    PutOp,
    Result,
    SearchOp,
)

_EVERY = 2**31 - 1


class Scope:
    """Labels that are added on the way in and cut off on the way out."""

    def __init__(self, labels: Namespace) -> None:
        self.labels = labels

    def prefix(self, prefix: NamespacePath) -> Namespace:
        """Give a prefix as the store below knows it."""
        return self.labels + check_labels(prefix, what="prefix")

    def put(self, op: PutOp) -> PutOp:
        """Give a write for the store below."""
        return op._replace(namespace=self.labels + check_namespace(op.namespace))

    def inward(self, op: Op) -> Op:
        """Give an operation for the store below.

        Raises:
            UsageError: it is none, or has no proper namespace.
        """
        match op:
            case PutOp():
                return self.put(op)
            case GetOp() | HistoryOp():
                return op._replace(namespace=self.labels + check_namespace(op.namespace))
            case SearchOp():
                return op._replace(namespace_prefix=self.prefix(op.namespace_prefix))
            case ListNamespacesOp():
                check_listing(op)
                # Matched, cut and paged after the labels are cut off: a suffix must not reach into them.
                return ListNamespacesOp([MatchCondition("prefix", self.labels)], None, _EVERY, 0)
        raise UsageError(f"{op!r} is no operation of a store: use GetOp, PutOp, SearchOp, HistoryOp, ...")

    def outward(self, op: Op, result: Any) -> Result:
        """Give what the store below gave as it looks from here."""
        if isinstance(op, ListNamespacesOp):
            listing = check_listing(op)
            inside = [self._cut(n) for n in result if len(n) > len(self.labels)]
            return list_matching(inside, listing.conditions, listing.max_depth, listing.limit, listing.offset)
        return [self._shown(item) for item in result] if isinstance(result, list) else self._shown(result)

    def _shown(self, item: Any) -> Any:
        return replace(item, namespace=self._cut(item.namespace)) if isinstance(item, Item) else item

    def _cut(self, namespace: Namespace) -> Namespace:
        return namespace[len(self.labels) :]
