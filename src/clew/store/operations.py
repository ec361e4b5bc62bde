"""What one may ask of a store, and what one gets: plain values, no behaviour.

Names and positional orders are those that LangGraph users know; versions, `as_of`, `mode`, `min_score` and `explain`
are ours. This file knows no rules (see namespaces, values, filters, expiry, history) and no database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

Namespace = tuple[str, ...]
NamespacePath = Sequence[str]
Mode = Literal["semantic", "keyword", "hybrid"]
Ended = Literal["replaced", "deleted", "expired"]


class SeenBy(NamedTuple):
    """Memory as it was at a moment, with what one run has written since.

    Args:
        as_of: an aware datetime, or a checkpoint's name or config.
        run_id: of the run.
    """

    as_of: datetime | str | Mapping[str, Any]
    run_id: str


AsOf = datetime | str | Mapping[str, Any] | SeenBy


class GetOp(NamedTuple):
    """Ask for one item, as it is or as it was.

    Args:
        namespace: where it is kept.
        key: its key there.
        refresh_ttl: whether it gets its whole ttl again.
        as_of: an aware datetime, or a checkpoint's id or config; None: now.
    """

    namespace: Namespace
    key: str
    refresh_ttl: bool = True
    as_of: AsOf | None = None


class PutOp(NamedTuple):
    """Keep one item; a value of None deletes it.

    Args:
        namespace: where it is kept.
        key: its key there.
        value: a dict of JSON, or None.
        index: paths to index instead of the store's; False: no search finds it by a query.
        ttl: minutes it lives; None: for ever.
        if_version: makes it a VersionConflict when the item is of another version (0: when there is one already).
    """

    namespace: Namespace
    key: str
    value: Mapping[str, Any] | None
    index: Literal[False] | list[str] | None = None  # type: ignore[assignment]  # hides tuple.index, as users know it
    ttl: float | None = None
    if_version: int | None = None


class SearchOp(NamedTuple):
    """Ask for the items below a prefix: filtered, ranked by a query or newest first, one page of them.

    Args:
        namespace_prefix: whole labels; () is everything.
        filter: conditions on the value.
        limit: the most items to give.
        offset: how many to leave out before.
        query: what is looked for; None: the newest come first.
        refresh_ttl: whether what is found gets its whole ttl again.
        mode: "semantic", "keyword" or "hybrid"; None: as the store was set up.
        min_score: leave out what scores lower, and what has no score.
        explain: fill each item's `why`.
        as_of: an aware datetime, or a checkpoint's id or config; None: now.
    """

    namespace_prefix: Namespace
    filter: dict[str, Any] | None = None
    limit: int = 10
    offset: int = 0
    query: str | None = None
    refresh_ttl: bool = True
    mode: Mode | None = None
    min_score: float | None = None
    explain: bool = False
    as_of: AsOf | None = None


class HistoryOp(NamedTuple):
    """Ask for every version that is kept of one item.

    Args:
        namespace: where it is kept.
        key: its key there.
    """

    namespace: Namespace
    key: str


class MatchCondition(NamedTuple):
    """One condition on listed namespaces.

    Args:
        match_type: whether the labels are at the start or at the end.
        path: whole labels, `*` for any one label.
    """

    match_type: Literal["prefix", "suffix"]
    path: NamespacePath


class ListNamespacesOp(NamedTuple):
    """Ask for the namespaces that hold items: sorted, distinct, one page of them.

    Args:
        match_conditions: all of which must hold.
        max_depth: how many labels of each are wanted; None: all.
        limit: the most namespaces to give.
        offset: how many to leave out before.
    """

    match_conditions: Sequence[MatchCondition] | None = None
    max_depth: int | None = None
    limit: int = 100
    offset: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Item:
    """One memory.

    Args:
        value: its JSON value; a copy, free to change.
        key: unique within the namespace.
        namespace: where it is kept.
        created_at: when the key was first put, aware UTC.
        updated_at: when it was last put, aware UTC.
        version: 1 when first put, one more with every later put, also after a deletion that is still remembered.

    Two items are equal when all of this but the version is, also when one of them was found by a search.
    """

    value: dict[str, Any]
    key: str
    namespace: Namespace
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def __post_init__(self) -> None:
        self.namespace = tuple(self.namespace)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Item) and self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash((self.namespace, self.key))

    def _compared(self) -> tuple[object, ...]:
        return self.namespace, self.key, self.value, self.created_at, self.updated_at

    def dict(self) -> dict[str, Any]:
        """Give the item as JSON-able values, times as ISO text."""
        return {
            "namespace": list(self.namespace),
            "key": self.key,
            "value": self.value,
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
            "version": self.version,
        }


@dataclass(slots=True, kw_only=True)
class Explanation:
    """What each way of ranking contributed to a score; None where it did not take part."""

    meaning: float | None = None
    words: float | None = None
    context: float | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class SearchItem(Item):
    """One memory as found; it has all that an Item has.

    Args:
        score: higher is better; None where nothing was ranked. Between 0 and 1 in a hybrid search, the cosine in one
            by meaning.
        why: what contributed to the score, if that was asked for.
    """

    score: float | None = None
    why: Explanation | None = None

    def dict(self) -> dict[str, Any]:
        """Give the item as JSON-able values, times as ISO text."""
        return {**Item.dict(self), "score": self.score}


@dataclass(slots=True, kw_only=True, frozen=True)
class Writer:
    """The run that wrote or deleted something.

    Args:
        run_id: its id.
        thread_id: its thread; None for a run without a checkpointer.
    """

    run_id: str
    thread_id: str | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class ItemVersion(Item):
    """One memory as it was from `updated_at` to `ended_at`; it has all that an Item has.

    Args:
        ended_at: when it was replaced or deleted, or expired; None for the one that is there now.
        ended: which of these.
        written_by: the run that wrote it; None where no run did.
        ended_by: the run that replaced or deleted it; None where no run did.
    """

    ended_at: datetime | None = None
    ended: Ended | None = None
    written_by: Writer | None = None
    ended_by: Writer | None = None

    def dict(self) -> dict[str, Any]:
        """Give the version as JSON-able values, times as ISO text."""
        return {
            **Item.dict(self),
            "ended_at": self.ended_at and self.ended_at.isoformat(),
            "ended": self.ended,
            "written_by": self.written_by and asdict(self.written_by),
            "ended_by": self.ended_by and asdict(self.ended_by),
        }


Op = GetOp | PutOp | SearchOp | ListNamespacesOp | HistoryOp
Result = Item | list[SearchItem] | list[ItemVersion] | list[Namespace] | None
