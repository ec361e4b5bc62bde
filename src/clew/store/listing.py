"""Which namespaces are to be listed: the request, checked. Nothing of databases."""

from __future__ import annotations

from msgspec import Struct

from clew.errors import InvalidValue
from clew.store.namespaces import check_pattern
from clew.store.operations import ListNamespacesOp, MatchCondition
from clew.store.values import whole_number


class PreparedListing(Struct, frozen=True, kw_only=True):
    """A checked ListNamespacesOp."""

    conditions: tuple[MatchCondition, ...]
    max_depth: int | None
    limit: int
    offset: int


def check_listing(op: ListNamespacesOp) -> PreparedListing:
    """Check a ListNamespacesOp.

    Raises:
        UsageError: InvalidNamespaceError or InvalidValue.
    """
    conditions = tuple(_condition(c) for c in op.match_conditions or ())
    if op.max_depth is not None and whole_number(op.max_depth, "max_depth") == 0:
        raise InvalidValue("max_depth is the most labels to show, 1 or more, not 0")
    return PreparedListing(
        conditions=conditions,
        max_depth=op.max_depth,
        limit=whole_number(op.limit, "limit"),
        offset=whole_number(op.offset, "offset"),
    )


def _condition(condition: MatchCondition) -> MatchCondition:
    if not (hasattr(condition, "match_type") and hasattr(condition, "path")):
        raise InvalidValue(f"match_conditions are a list of MatchCondition('prefix', ('a', '*')), not {condition!r}")
    if condition.match_type not in ("prefix", "suffix"):
        raise InvalidValue(f"match_type is 'prefix' or 'suffix', not {condition.match_type!r}")
    return MatchCondition(condition.match_type, check_pattern(condition.path))
