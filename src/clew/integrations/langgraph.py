"""Clew's store for LangGraph, and LangGraph's stores for Clew: the same operations under other types.

It decides how one side's operations, items and settings are said on the other, and knows no engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from clew.errors import MissingDependency, UsageError
from clew.store.base import BaseStore
from clew.store.clock import utc_now
from clew.store.expiry import Expiry
from clew.store.listing import check_listing
from clew.store.namespaces import check_labels
from clew.store.operations import (
    Explanation,
    GetOp,
    HistoryOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    NamespacePath,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
)
from clew.store.overlay import Overlay
from clew.store.planning import PreparedWrite, draft_read, draft_write
from clew.store.settings import Settings
from clew.store.values import decode_value

try:
    from langgraph.store import base as langgraph
except ModuleNotFoundError as error:
    raise MissingDependency("stores of LangGraph's kind need langgraph: pip install 'clew[langgraph]'") from error

_MINUTE_US = 60_000_000
_AT_ONCE = 1000
_NO_INDEX = Settings()  # the store below has its own


def as_langgraph_store(store: BaseStore) -> langgraph.BaseStore:
    """Give a Clew store as a LangGraph BaseStore, for `builder.compile(store=...)`.

    Args:
        store: any store of Clew's: `Database(...).store`, SqliteStore, a scoped view. Its rules hold.
    """
    if not isinstance(store, BaseStore):
        hint = ": pass its .store" if hasattr(store, "store") else ""
        raise UsageError(f"as_langgraph_store takes a store of Clew's, not {store!r}{hint}")
    return store.inner if isinstance(store, LangGraphStore) else ClewStore(store)


def from_langgraph_store(store: langgraph.BaseStore) -> BaseStore:
    """Give a LangGraph BaseStore as a Clew store; `@entrypoint(store=...)` does this by itself.

    What a task writes goes to it in a step of its own before the task's record: at least once.

    Args:
        store: any store for LangGraph; what `as_langgraph_store` made is given back as it was.
    """
    if not isinstance(store, langgraph.BaseStore):
        raise UsageError(f"from_langgraph_store takes a LangGraph BaseStore, not {store!r}")
    return store.inner if isinstance(store, ClewStore) else LangGraphStore(store)


def adapted(given: Any) -> Any:
    """Give a LangGraph BaseStore as a Clew store, and anything else as it is."""
    return from_langgraph_store(given) if isinstance(given, langgraph.BaseStore) else given


class ClewStore(langgraph.BaseStore):
    """A Clew store as LangGraph sees it.

    Args:
        inner: the store.
    """

    def __init__(self, inner: BaseStore) -> None:
        self.inner = inner
        self.supports_ttl = inner.supports_ttl
        self.ttl_config = langgraph.TTLConfig(refresh_on_read=inner.expiry.refresh_on_read)
        if inner.expiry.default_minutes is not None:
            self.ttl_config["default_ttl"] = inner.expiry.default_minutes

    def batch(self, ops: Iterable[langgraph.Op]) -> list[langgraph.Result]:
        """Carry out operations in one transaction; reads see the store as it was before."""
        return [_result_to_langgraph(result) for result in self.inner.execute([_op_from_langgraph(op) for op in ops])]

    async def abatch(self, ops: Iterable[langgraph.Op]) -> list[langgraph.Result]:
        """Like `batch`, off the event loop."""
        return [
            _result_to_langgraph(result) for result in await self.inner.aexecute([_op_from_langgraph(op) for op in ops])
        ]


class LangGraphStore(BaseStore):
    """A LangGraph store as Clew sees it. Ranking, filtering and expiry are those of the store itself.

    Args:
        inner: the store.
    """

    def __init__(self, inner: langgraph.BaseStore) -> None:
        self.inner = inner
        self.supports_ttl = inner.supports_ttl
        ttl = inner.ttl_config or {}
        self.expiry = Expiry(
            default_minutes=ttl.get("default_ttl"), refresh_on_read=bool(ttl.get("refresh_on_read", True))
        )

    def execute(self, ops: Sequence[Op], *, pending: Sequence[PutOp | PreparedWrite] = ()) -> list[Result]:
        """See BaseStore.execute. What is pending was ranked by nobody: a search by query gives it last."""
        asking = _Asking(self._checked(ops), self._prepared(pending))
        return asking.answers(self.inner.batch(asking.asked) if asking.asked else [])

    async def aexecute(self, ops: Sequence[Op], *, pending: Sequence[PutOp | PreparedWrite] = ()) -> list[Result]:
        """See BaseStore.aexecute and `execute`."""
        asking = _Asking(self._checked(ops), self._prepared(pending))
        return asking.answers(await self.inner.abatch(asking.asked) if asking.asked else [])

    def prepare(self, writes: Sequence[PutOp]) -> Sequence[PreparedWrite]:
        """See BaseStore.prepare. Nothing is embedded: the store below does that."""
        return self._prepared(writes)

    async def aprepare(self, writes: Sequence[PutOp]) -> Sequence[PreparedWrite]:
        """See BaseStore.aprepare and `prepare`."""
        return self._prepared(writes)

    def apply(self, writes: Sequence[PreparedWrite]) -> None:
        """Apply prepared writes by one batch; whether that is one transaction is for the store below to say."""
        if writes:
            self.inner.batch([_write_to_langgraph(write) for write in writes])

    async def aapply(self, writes: Sequence[PreparedWrite]) -> None:
        """Like `apply`, off the event loop."""
        if writes:
            await self.inner.abatch([_write_to_langgraph(write) for write in writes])

    def delete_namespace(self, prefix: NamespacePath) -> int:
        """Delete every item at or below the prefix, some at a time, and give their number."""
        search, deleted = _some_below(prefix), 0
        while found := self.search(search.namespace_prefix, limit=search.limit, refresh_ttl=False):
            self.execute(_deletions(found))
            deleted += len(found)
        return deleted

    async def adelete_namespace(self, prefix: NamespacePath) -> int:
        """Like `delete_namespace`, off the event loop."""
        search, deleted = _some_below(prefix), 0
        while found := await self.asearch(search.namespace_prefix, limit=search.limit, refresh_ttl=False):
            await self.aexecute(_deletions(found))
            deleted += len(found)
        return deleted

    def _prepared(self, writes: Sequence[PutOp | PreparedWrite]) -> list[PreparedWrite]:
        return [write if isinstance(write, PreparedWrite) else self._prepare(write) for write in writes]

    def _checked(self, ops: Sequence[Op]) -> list[Op | PreparedWrite]:
        return [self._prepare(op) if isinstance(op, PutOp) else self._check_read(op) for op in ops]

    def _check_read(self, op: Op) -> Op:
        if isinstance(op, HistoryOp) or (isinstance(op, GetOp | SearchOp) and op.as_of is not None):
            raise UsageError(f"{type(self.inner).__name__} keeps no old versions: there is no history, and no as_of")
        if isinstance(op, SearchOp) and op.mode not in (None, "semantic"):
            raise UsageError(f"{type(self.inner).__name__} ranks in its own way: leave out mode={op.mode!r}")
        draft_read(op._replace(mode=None) if isinstance(op, SearchOp) else op, _NO_INDEX)
        match op:  # what was given as a list cannot be looked up
            case GetOp():
                return op._replace(namespace=tuple(op.namespace))
            case SearchOp():
                return op._replace(namespace_prefix=tuple(op.namespace_prefix))
            case _:
                return op

    def _prepare(self, op: PutOp) -> PreparedWrite:
        if op.ttl is not None and not self.supports_ttl:
            raise UsageError(f"{type(self.inner).__name__} keeps items for ever: leave out ttl={op.ttl!r}")
        if op.if_version is not None:
            raise UsageError(f"{type(self.inner).__name__} counts no versions: leave out if_version={op.if_version!r}")
        return draft_write(op, _NO_INDEX).write


class _Asking:
    """One batch for the store below, and how its results are read.

    Args:
        ops: what was asked of the store above, checked.
        pending: writes that reads are to see and that are not to be kept.
    """

    def __init__(self, ops: Sequence[Op | PreparedWrite], pending: Sequence[PreparedWrite]) -> None:
        self._ops = ops
        # Reads first, for a store that goes through a batch in order: they see it as it was.
        self._reads = [at for at, op in enumerate(ops) if not isinstance(op, PreparedWrite)]
        reads = [op for op in ops if not isinstance(op, PreparedWrite)]
        writes = [op for op in ops if isinstance(op, PreparedWrite)]
        self._overlay = Overlay(pending, utc_now())
        self._before = self._overlay.asks(reads)
        self.asked: list[langgraph.Op] = [
            *(_read_to_langgraph(op) for op in self._before),
            *(_read_to_langgraph(self._overlay.widened(op)) for op in reads),
            *(_write_to_langgraph(write) for write in writes),
        ]

    def answers(self, results: Sequence[Any]) -> list[Result]:
        """Give one result for each operation, from what the store below gave."""
        found = [_result_from_langgraph(result) for result in results]
        self._overlay.learn(self._before, found[: len(self._before)])
        answers: list[Result] = [None] * len(self._ops)
        for at, result in zip(self._reads, found[len(self._before) :], strict=False):  # what follows is of writes
            answers[at] = self._answer(self._ops[at], result)
        return answers

    def _answer(self, op: Op | PreparedWrite, found: Any) -> Result:
        assert not isinstance(op, PreparedWrite)
        answer = self._overlay.answer(op, found)
        return _scored(op, answer) if isinstance(op, SearchOp) and op.query else answer


def _scored(op: SearchOp, found: Any) -> Result:
    """Leave out what scores too low, and say why the rest was found; only the store below knows more."""
    items: list[SearchItem] = found
    if op.min_score is not None:
        items = [item for item in items if item.score is not None and item.score >= op.min_score]
    for item in items:
        item.why = Explanation(meaning=item.score) if op.explain else None
    return items


def _some_below(prefix: NamespacePath) -> SearchOp:
    return SearchOp(check_labels(prefix, what="prefix"), limit=_AT_ONCE, refresh_ttl=False)


def _deletions(found: Result) -> list[PutOp]:
    assert isinstance(found, list)
    return [PutOp(item.namespace, item.key, None) for item in found if isinstance(item, SearchItem)]


def _op_from_langgraph(op: langgraph.Op) -> Op:
    match op:
        case langgraph.GetOp():
            return GetOp(op.namespace, op.key, op.refresh_ttl)
        case langgraph.PutOp():
            return PutOp(op.namespace, op.key, op.value, op.index, op.ttl)
        case langgraph.SearchOp():
            return SearchOp(op.namespace_prefix, op.filter, op.limit, op.offset, op.query, op.refresh_ttl)
        case langgraph.ListNamespacesOp():
            conditions = [MatchCondition(c.match_type, c.path) for c in op.match_conditions or ()]
            return ListNamespacesOp(conditions, op.max_depth, op.limit, op.offset)
    raise UsageError(f"{op!r} is no operation of a store: use GetOp, PutOp, SearchOp or ListNamespacesOp")


def _result_to_langgraph(result: Result) -> langgraph.Result:
    if isinstance(result, list):
        return [_found_to_langgraph(one) if isinstance(one, SearchItem) else one for one in result]  # type: ignore[return-value]  # a list of one or the other
    if result is None:
        return None
    return langgraph.Item(
        value=result.value,
        key=result.key,
        namespace=result.namespace,
        created_at=result.created_at,
        updated_at=result.updated_at,
    )


def _found_to_langgraph(item: SearchItem) -> langgraph.SearchItem:
    return langgraph.SearchItem(item.namespace, item.key, item.value, item.created_at, item.updated_at, item.score)


def _read_to_langgraph(op: Op) -> langgraph.Op:
    match op:
        case GetOp():
            return langgraph.GetOp(tuple(op.namespace), op.key, op.refresh_ttl)
        case SearchOp():
            prefix = tuple(op.namespace_prefix)
            return langgraph.SearchOp(prefix, op.filter, op.limit, op.offset, op.query, op.refresh_ttl)
        case ListNamespacesOp():
            listing = check_listing(op)
            conditions = tuple(langgraph.MatchCondition(c.match_type, tuple(c.path)) for c in listing.conditions)
            return langgraph.ListNamespacesOp(conditions, op.max_depth, op.limit, op.offset)
        case PutOp() | HistoryOp():
            raise AssertionError("writes are prepared before they are asked, and old versions are refused")


def _write_to_langgraph(write: PreparedWrite) -> langgraph.PutOp:
    return langgraph.PutOp(
        write.namespace,
        write.key,
        None if write.value is None else decode_value(write.value),
        index=None if write.fields is None else list(write.fields) or False,
        ttl=None if write.ttl_us is None else write.ttl_us / _MINUTE_US,
    )


def _result_from_langgraph(result: Any) -> Any:
    if isinstance(result, list):
        return [_result_from_langgraph(one) for one in result]
    if isinstance(result, langgraph.SearchItem):
        return SearchItem(**_parts(result), score=result.score)
    return Item(**_parts(result)) if isinstance(result, langgraph.Item) else result


def _parts(item: langgraph.Item) -> dict[str, Any]:
    return {
        "value": deepcopy(item.value),  # not every store gives a copy
        "key": item.key,
        "namespace": item.namespace,
        "created_at": _aware(item.created_at),
        "updated_at": _aware(item.updated_at),
    }


def _aware(moment: datetime) -> datetime:
    """Give the moment in UTC; some databases keep it without saying so."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
