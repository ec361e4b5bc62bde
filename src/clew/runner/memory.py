"""A run's own view of the store.

In a task, writes wait and are committed together with the task's record; reads see them before that. In the body of a
workflow every write is applied once, however often the body is replayed, and reads are recorded, so that a resumed run
sees the memory it saw before. Outside of both (an OS thread of the user's own) it is the store itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from clew.errors import UsageError
from clew.late import late
from clew.runner.frame import current
from clew.runner.io import run_blocking
from clew.runner.recall import use_store
from clew.runner.sync_io import BLOCKING
from clew.store.base import BaseStore
from clew.store.namespaces import check_labels
from clew.store.operations import NamespacePath, Op, PutOp, Result, SearchItem, SearchOp

if TYPE_CHECKING:
    from clew.runner import async_io
    from clew.store.planning import PreparedWrite
else:
    late(globals(), "clew.runner.async_io")

_EVERY = 2**31 - 1
_NOT_IN_RUNS = {"erase_namespace", "aerase_namespace"}


class RunStore(BaseStore):
    """The store as a running workflow or task sees it.

    Args:
        store: the store below.
    """

    def __init__(self, store: BaseStore) -> None:
        self.store = store
        self.expiry = store.expiry
        self.supports_ttl = store.supports_ttl

    def __getattr__(self, name: str) -> Any:
        if name in _NOT_IN_RUNS and current.get() is not None:
            raise UsageError(f"{name} inside a run would be done again by each replay: use delete_namespace there")
        return getattr(self.store, name)  # what only some stores have, such as index_config

    def execute(self, ops: Sequence[Op], *, pending: Sequence[PutOp | PreparedWrite] = ()) -> list[Result]:
        """See BaseStore.execute."""
        frame = current.get()
        if frame is None or pending:
            return self.store.execute(ops, pending=pending)
        return run_blocking(use_store(BLOCKING, frame, self.store, ops))

    async def aexecute(self, ops: Sequence[Op], *, pending: Sequence[PutOp | PreparedWrite] = ()) -> list[Result]:
        """See BaseStore.aexecute."""
        frame = current.get()
        if frame is None or pending:
            return await self.store.aexecute(ops, pending=pending)
        return await async_io.run_awaited(use_store(async_io.ON_LOOP, frame, self.store, ops))

    def prepare(self, writes: Sequence[PutOp]) -> Sequence[PreparedWrite]:
        """See BaseStore.prepare."""
        return self.store.prepare(writes)

    async def aprepare(self, writes: Sequence[PutOp]) -> Sequence[PreparedWrite]:
        """See BaseStore.aprepare."""
        return await self.store.aprepare(writes)

    def apply(self, writes: Sequence[PreparedWrite]) -> None:
        """See BaseStore.apply."""
        self.store.apply(writes)

    async def aapply(self, writes: Sequence[PreparedWrite]) -> None:
        """See BaseStore.aapply."""
        await self.store.aapply(writes)

    def delete_namespace(self, prefix: NamespacePath) -> int:
        """Delete every item at or below the prefix, each as a write of this run, and give their number."""
        found = self.execute([_everything(prefix)])[0]
        deletions = _deletions(found)
        self.execute(deletions)
        return len(deletions)

    async def adelete_namespace(self, prefix: NamespacePath) -> int:
        """Like `delete_namespace`, off the event loop."""
        found = (await self.aexecute([_everything(prefix)]))[0]
        deletions = _deletions(found)
        await self.aexecute(deletions)
        return len(deletions)


def _everything(prefix: NamespacePath) -> SearchOp:
    return SearchOp(check_labels(prefix, what="prefix"), None, _EVERY, 0, None, False)


def _deletions(found: Result) -> list[Op]:
    assert isinstance(found, list)
    return [PutOp(item.namespace, item.key, None) for item in found if isinstance(item, SearchItem)]
