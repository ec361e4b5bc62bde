"""The verbs of a procedure for blocking code. None of them ever suspends, so no event loop is involved."""

from __future__ import annotations

import concurrent.futures
import random
import threading
import time
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

from clew.errors import NodeCancelledError
from clew.runner.dispatching import Ear
from clew.runner.frame import Frame, current
from clew.runner.io import Drain
from clew.runner.loops import cancellations
from clew.runner.turns import Turn, turns
from clew.storage.base import Checkpointer, Operation
from clew.storage.cache import BaseCache

if TYPE_CHECKING:
    from clew.runner.cancelling import Canceller
    from clew.store.base import BaseStore
    from clew.store.keeper import How, Keeper
    from clew.store.operations import Op, PutOp, Result
    from clew.store.planning import PreparedWrite
    from clew.store.transactional import TransactionalStore

T = TypeVar("T")


class SyncIO:
    """Runs functions, and blocks, on the caller's OS thread."""

    async def call(self, frame: Frame) -> Any:
        call = frame.call
        frame.home = get_ident()
        current.set(frame)
        try:
            return call.callee.function(*call.args, **(frame.arguments() if call.callee.injected else call.kwargs))
        except cancellations() as error:
            call.execution.check_stopped()  # then the run was cancelled from outside, and its async tasks with it
            raise NodeCancelledError(call.callee.name) from error

    async def drain(self, frame: Frame, how: Drain) -> None:
        if frame.lazy is not None:
            lazy, frame.lazy = frame.lazy, None
            lazy.start()
        while waiting := list(frame.children):
            for future in waiting:
                if how == "wait":
                    future.begin()  # here, for every OS thread of the pool may be waiting like this one
                elif not future.has_thread:
                    future.cancel()
            concurrent.futures.wait(waiting)
            frame.children.difference_update(waiting)

    async def keep(self, saver: Checkpointer, operation: Operation[T]) -> T:
        return saver.execute(operation)

    async def remember(
        self, store: BaseStore, ops: Sequence[Op], pending: Sequence[PutOp | PreparedWrite]
    ) -> list[Result]:
        return store.execute(ops, pending=pending)

    async def apply(self, store: BaseStore, writes: Sequence[PreparedWrite]) -> None:
        store.apply(writes)

    async def with_keeper(self, store: TransactionalStore[Any], how: How, work: Callable[[Keeper[Any], Any], T]) -> T:
        return store.with_keeper(how, work)

    async def prepare(self, store: BaseStore, writes: Sequence[PutOp]) -> Sequence[PreparedWrite]:
        return store.prepare(writes)

    async def cached(self, cache: BaseCache, namespace: tuple[str, ...], key: str) -> bytes | None:
        return cache.get(namespace, key)

    async def cache(
        self, cache: BaseCache, namespace: tuple[str, ...], key: str, data: bytes, ttl_s: float | None
    ) -> None:
        cache.set(namespace, key, data, ttl_s)

    async def wait(self, future: concurrent.futures.Future[None] | None) -> None:
        if future is not None:
            future.result()

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # through its module, so that people can patch it

    async def wait_for(self, turn: Turn, seconds: float) -> bool:
        came = threading.Event()
        turns.when_ready(turn, came.set)
        return came.wait(seconds)

    async def hear(self, ear: Ear, seconds: float) -> None:
        came = threading.Event()
        ear.wake = came.set
        if not ear.heard:
            came.wait(seconds)
        ear.wake, ear.heard = None, False

    def canceller(self) -> Canceller | None:
        return None

    def chance(self, low: float, high: float) -> float:
        return random.uniform(low, high)  # through its module, so that people can patch it


BLOCKING = SyncIO()
