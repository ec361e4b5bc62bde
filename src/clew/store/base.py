"""The contract of a store: one abstract verb in two colours, the comforts built once above it, and the scoped view.

It knows no engine. What the operations mean is decided in namespaces, values, filters, expiry and search.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from clew.store.expiry import NOT_GIVEN, Expiry, NotGiven
from clew.store.namespaces import check_namespace
from clew.store.operations import (
    AsOf,
    GetOp,
    HistoryOp,
    Item,
    ItemVersion,
    ListNamespacesOp,
    MatchCondition,
    Mode,
    Namespace,
    NamespacePath,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
)
from clew.store.scope import Scope

if TYPE_CHECKING:
    from clew.store.planning import PreparedWrite

Index = Literal[False] | list[str] | None


class BaseStore(ABC):
    """Long-term memory: items by namespace and key, shared by threads.

    Every verb has an async twin with the prefix `a`. All raise UsageError (InvalidNamespaceError, InvalidValue,
    InvalidFilter) for what they cannot take, before anything is written, and StorageError when the database fails.
    """

    supports_ttl: bool = True
    expiry: Expiry = Expiry()

    @abstractmethod
    def execute(self, ops: Sequence[Op], *, pending: Sequence[PutOp | PreparedWrite] = ()) -> list[Result]:
        """Carry out operations and give one result for each, in order.

        Args:
            ops: reads see the store as it was before this call; writes are applied after them, in order, in one
                transaction.
            pending: writes that are not committed yet: reads see the store as if they had been applied, and nothing
                of them remains.
        """

    @abstractmethod
    async def aexecute(self, ops: Sequence[Op], *, pending: Sequence[PutOp | PreparedWrite] = ()) -> list[Result]:
        """Like `execute`, off the event loop."""

    @abstractmethod
    def prepare(self, writes: Sequence[PutOp]) -> Sequence[PreparedWrite]:
        """Check writes and embed what they need, so that a caller may apply them in a transaction of its own."""

    @abstractmethod
    async def aprepare(self, writes: Sequence[PutOp]) -> Sequence[PreparedWrite]:
        """Like `prepare`, off the event loop."""

    @abstractmethod
    def apply(self, writes: Sequence[PreparedWrite]) -> None:
        """Apply prepared writes in one transaction of their own."""

    @abstractmethod
    async def aapply(self, writes: Sequence[PreparedWrite]) -> None:
        """Like `apply`, off the event loop."""

    @abstractmethod
    def delete_namespace(self, prefix: NamespacePath) -> int:
        """Delete every item at or below the prefix, which is whole labels, and give their number."""

    @abstractmethod
    async def adelete_namespace(self, prefix: NamespacePath) -> int:
        """Like `delete_namespace`, off the event loop."""

    def batch(self, ops: Iterable[Op], *, return_exceptions: bool = False) -> list[Any]:
        """Carry out operations and give one result for each, in order; reads see the store as it was before.

        Args:
            ops: GetOp, PutOp, SearchOp, ListNamespacesOp and HistoryOp, in any order.
            return_exceptions: give the error of an operation in its place and let the others go on, each then in a
                transaction of its own; otherwise the first error is raised and nothing is written.
        """
        some = list(ops)
        try:
            return list(self.execute(some))
        except Exception as error:
            if not return_exceptions or len(some) == 1:
                return _given_back(error, return_exceptions)
        results = {at: self.batch([some[at]], return_exceptions=True)[0] for at in _reads_first(some)}
        return [results[at] for at in range(len(some))]

    async def abatch(self, ops: Iterable[Op], *, return_exceptions: bool = False) -> list[Any]:
        """Like `batch`, off the event loop."""
        some = list(ops)
        try:
            return list(await self.aexecute(some))
        except Exception as error:
            if not return_exceptions or len(some) == 1:
                return _given_back(error, return_exceptions)
        results = {at: (await self.abatch([some[at]], return_exceptions=True))[0] for at in _reads_first(some)}
        return [results[at] for at in range(len(some))]

    def get(
        self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None, as_of: AsOf | None = None
    ) -> Item | None:
        """Give one item, or None.

        Args:
            namespace: where it is kept: a tuple of text labels.
            key: its key there.
            refresh_ttl: give it its whole ttl again; left out: as the store was set up.
            as_of: give it as it was then: an aware datetime, or a checkpoint's id or config.

        Raises:
            Forgotten: what was there then is no longer kept.
        """
        return _item(self.execute([GetOp(namespace, key, self._refresh(refresh_ttl), as_of)]))

    async def aget(
        self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None, as_of: AsOf | None = None
    ) -> Item | None:
        """Like `get`, off the event loop."""
        return _item(await self.aexecute([GetOp(namespace, key, self._refresh(refresh_ttl), as_of)]))

    def put(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any] | None,
        index: Index = None,
        *,
        ttl: float | NotGiven | None = NOT_GIVEN,
        if_version: int | None = None,
    ) -> None:
        """Keep an item, replacing the one of that key; a value of None deletes it.

        Args:
            namespace: where it is kept: a tuple of non-empty text labels without periods.
            key: its key there; any text.
            value: a dict of JSON; it is copied.
            index: paths to index instead of the store's; False: no index, no search finds it by a query.
            ttl: minutes it lives; None: for ever; left out: as the store was set up.
            if_version: the version that it must replace (0: none).

        Raises:
            InvalidNamespaceError: the namespace is not such a tuple.
            InvalidValue: the value is not JSON; the message names the place in it.
            VersionConflict: the item is of another version than `if_version`.
        """
        self.execute([self._put_op(namespace, key, value, index, ttl, if_version)])

    async def aput(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any] | None,
        index: Index = None,
        *,
        ttl: float | NotGiven | None = NOT_GIVEN,
        if_version: int | None = None,
    ) -> None:
        """Like `put`, off the event loop."""
        await self.aexecute([self._put_op(namespace, key, value, index, ttl, if_version)])

    def delete(self, namespace: Namespace, key: str) -> None:
        """Delete the item of a key in a namespace; what is not there may be deleted."""
        self.execute([PutOp(check_namespace(namespace), key, None)])

    async def adelete(self, namespace: Namespace, key: str) -> None:
        """Like `delete`, off the event loop."""
        await self.aexecute([PutOp(check_namespace(namespace), key, None)])

    def search(
        self,
        namespace_prefix: Namespace,
        /,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
        mode: Mode | None = None,
        min_score: float | None = None,
        explain: bool = False,
        as_of: AsOf | None = None,
    ) -> list[SearchItem]:
        """Give one page of the items below a prefix, ranked by the query, else newest first.

        Args:
            namespace_prefix: whole labels below which to search; () is everything.
            query: what is looked for, in any words; left out: the newest come first.
            filter: conditions on the value; docs/memory.md has the operators.
            limit: the most items to give.
            offset: how many to leave out before.
            refresh_ttl: give what is found its whole ttl again; left out: as the store was set up.
            mode: rank by meaning, by words, or by both; left out: as the store was set up.
            min_score: leave out what scores lower, and what has no score.
            explain: say in each item's `why` what contributed to its score.
            as_of: search memory as it was then: an aware datetime, or a checkpoint's id or config.

        Raises:
            InvalidFilter: an operator or a key that there is not.
            EmbeddingError: the embedder failed on the query.
            Forgotten: what some item below the prefix was then is no longer kept.
        """
        refresh = self._refresh(refresh_ttl)
        op = SearchOp(namespace_prefix, filter, limit, offset, query, refresh, mode, min_score, explain, as_of)
        return _items(self.execute([op]))

    async def asearch(
        self,
        namespace_prefix: Namespace,
        /,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
        mode: Mode | None = None,
        min_score: float | None = None,
        explain: bool = False,
        as_of: AsOf | None = None,
    ) -> list[SearchItem]:
        """Like `search`, off the event loop."""
        refresh = self._refresh(refresh_ttl)
        op = SearchOp(namespace_prefix, filter, limit, offset, query, refresh, mode, min_score, explain, as_of)
        return _items(await self.aexecute([op]))

    def history(self, namespace: Namespace, key: str) -> list[ItemVersion]:
        """Give every version of an item that is kept, the newest first, with who wrote it and how it ended."""
        return _versions(self.execute([HistoryOp(namespace, key)]))

    async def ahistory(self, namespace: Namespace, key: str) -> list[ItemVersion]:
        """Like `history`, off the event loop."""
        return _versions(await self.aexecute([HistoryOp(namespace, key)]))

    def list_namespaces(
        self,
        *,
        prefix: NamespacePath | None = None,
        suffix: NamespacePath | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Namespace]:
        """Give the namespaces that hold items: sorted, cut to `max_depth` labels, one page of them.

        Args:
            prefix: whole labels they begin with; `*` is any one label.
            suffix: whole labels they end with, likewise.
            max_depth: how many labels of each are wanted; None: all.
            limit: the most namespaces to give.
            offset: how many to leave out before.
        """
        return _namespaces(self.execute([_listing_op(prefix, suffix, max_depth, limit, offset)]))

    async def alist_namespaces(
        self,
        *,
        prefix: NamespacePath | None = None,
        suffix: NamespacePath | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Namespace]:
        """Like `list_namespaces`, off the event loop."""
        return _namespaces(await self.aexecute([_listing_op(prefix, suffix, max_depth, limit, offset)]))

    def scoped(self, *labels: str) -> ScopedStore:
        """Give a view of the store that sees and reaches only what lies below these labels.

        Args:
            labels: one or more; every namespace of the view begins below them.

        Raises:
            InvalidNamespaceError: a label is empty, no text, or has a period.
        """
        return ScopedStore(self, check_namespace(labels, new=True))

    def _put_op(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any] | None,
        index: Index,
        ttl: float | NotGiven | None,
        if_version: int | None,
    ) -> PutOp:
        minutes = self.expiry.default_minutes if isinstance(ttl, NotGiven) else ttl
        return PutOp(check_namespace(namespace, new=True), key, value, index, minutes, if_version)

    def _refresh(self, asked: bool | None) -> bool:
        return self.expiry.refresh_on_read if asked is None else asked


class ScopedStore(BaseStore):
    """What `store.scoped("tenant-7")` gives: labels are added on the way in and cut off on the way out."""

    def __init__(self, store: BaseStore, labels: Namespace) -> None:
        self.store = store
        self.labels = labels
        self.expiry = store.expiry
        self._scope = Scope(labels)

    def execute(self, ops: Sequence[Op], *, pending: Sequence[PutOp | PreparedWrite] = ()) -> list[Result]:
        """See BaseStore.execute."""
        inner = self.store.execute([self._scope.inward(op) for op in ops], pending=[self._write(w) for w in pending])
        return [self._scope.outward(op, result) for op, result in zip(ops, inner, strict=True)]

    async def aexecute(self, ops: Sequence[Op], *, pending: Sequence[PutOp | PreparedWrite] = ()) -> list[Result]:
        """See BaseStore.aexecute."""
        inward = [self._scope.inward(op) for op in ops]
        inner = await self.store.aexecute(inward, pending=[self._write(w) for w in pending])
        return [self._scope.outward(op, result) for op, result in zip(ops, inner, strict=True)]

    def prepare(self, writes: Sequence[PutOp]) -> Sequence[PreparedWrite]:
        """See BaseStore.prepare. What it gives is for the store below: the labels are added already."""
        return self.store.prepare([self._scope.put(op) for op in writes])

    async def aprepare(self, writes: Sequence[PutOp]) -> Sequence[PreparedWrite]:
        """See BaseStore.aprepare."""
        return await self.store.aprepare([self._scope.put(op) for op in writes])

    def apply(self, writes: Sequence[PreparedWrite]) -> None:
        """See BaseStore.apply. What was prepared here has its labels already."""
        self.store.apply(writes)

    async def aapply(self, writes: Sequence[PreparedWrite]) -> None:
        """See BaseStore.aapply."""
        await self.store.aapply(writes)

    def delete_namespace(self, prefix: NamespacePath) -> int:
        """See BaseStore.delete_namespace."""
        return self.store.delete_namespace(self._scope.prefix(prefix))

    async def adelete_namespace(self, prefix: NamespacePath) -> int:
        """See BaseStore.adelete_namespace."""
        return await self.store.adelete_namespace(self._scope.prefix(prefix))

    def _write(self, write: PutOp | PreparedWrite) -> PutOp | PreparedWrite:
        return self._scope.put(write) if isinstance(write, PutOp) else write


def _given_back(error: Exception, return_exceptions: bool) -> list[Any]:
    if not return_exceptions:
        raise error
    return [error]


def _reads_first(ops: list[Op]) -> list[int]:
    return sorted(range(len(ops)), key=lambda at: isinstance(ops[at], PutOp))


def _listing_op(
    prefix: NamespacePath | None, suffix: NamespacePath | None, max_depth: int | None, limit: int, offset: int
) -> ListNamespacesOp:
    conditions = []
    if prefix:
        conditions.append(MatchCondition("prefix", prefix))
    if suffix:
        conditions.append(MatchCondition("suffix", suffix))
    return ListNamespacesOp(conditions, max_depth, limit, offset)


def _item(results: list[Result]) -> Item | None:
    return results[0]  # type: ignore[return-value]  # a GetOp gives nothing else


def _items(results: list[Result]) -> list[SearchItem]:
    return results[0]  # type: ignore[return-value]  # a SearchOp gives nothing else


def _versions(results: list[Result]) -> list[ItemVersion]:
    return results[0]  # type: ignore[return-value]  # a HistoryOp gives nothing else


def _namespaces(results: list[Result]) -> list[Namespace]:
    return results[0]  # type: ignore[return-value]  # a ListNamespacesOp gives nothing else
