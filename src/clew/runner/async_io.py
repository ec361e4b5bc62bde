"""The verbs of a procedure for async code, on the loop that runs it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from clew.engine.limits import Deadlines, TimeoutPolicy
from clew.errors import NodeCancelledError
from clew.runner.cancelling import Canceller
from clew.runner.channels import paced
from clew.runner.dispatching import Ear
from clew.runner.frame import Frame, current
from clew.runner.io import Drain
from clew.runner.loop_futures import LoopFuture
from clew.runner.turns import Turn, turns
from clew.storage.base import Checkpointer, Operation
from clew.storage.cache import BaseCache

if TYPE_CHECKING:
    from clew.store.base import BaseStore
    from clew.store.keeper import How, Keeper
    from clew.store.operations import Op, PutOp, Result
    from clew.store.planning import PreparedWrite
    from clew.store.transactional import TransactionalStore

T = TypeVar("T")


class AsyncIO:
    """Runs coroutine functions, and waits, on the running loop."""

    def call(self, frame: Frame) -> Awaitable[Any]:
        # As it is: every coroutine around a body is one more for as long as it waits.
        return self._body(frame) if frame.call.execution.emitter is None else self._heard(frame)

    async def _heard(self, frame: Frame) -> Any:
        """Run a body that somebody listens to, and wait until they have room for more."""
        value = await self._body(frame)
        emitter = frame.call.execution.emitter
        while emitter is not None and (change := emitter.room()) is not None:
            await change
        return value

    def _body(self, frame: Frame) -> Awaitable[Any]:
        limit = frame.call.callee.limit
        return self._unlimited(frame) if limit is None else self._limited(frame, limit)

    async def _unlimited(self, frame: Frame) -> Any:
        call = frame.call
        frame.loop = asyncio.get_running_loop()
        frame.home = asyncio.current_task(frame.loop)
        token = current.set(frame)
        if call.callee.hear_life is not None:
            call.callee.hear_life()
        try:
            kwargs = frame.arguments() if call.callee.injected else call.kwargs
            body = call.callee.function(*call.args, **kwargs)
            if call.execution.emitter is None or not asyncio.iscoroutine(body):
                return await body
            return await paced(body, call.execution.emitter.room)
        except asyncio.CancelledError as error:
            if _was_cancelled():
                raise
            raise NodeCancelledError(call.callee.name) from error
        finally:
            current.reset(token)

    async def _limited(self, frame: Frame, limit: TimeoutPolicy) -> Any:
        frame.deadlines = deadlines = Deadlines(limit, frame.call.callee.name, time.monotonic())
        body = asyncio.ensure_future(self._unlimited(frame))
        try:
            while not body.done():
                remaining_s = deadlines.remaining_s(time.monotonic())
                if remaining_s <= 0:
                    break
                await asyncio.wait([body], timeout=None if remaining_s == float("inf") else remaining_s)
        except asyncio.CancelledError:
            body.cancel()
            await asyncio.wait([body])
            raise
        if body.done():
            if body.cancelled():  # by itself
                raise NodeCancelledError(frame.call.callee.name)
            return body.result()
        error = deadlines.error(time.monotonic())
        body.cancel()
        await asyncio.wait([body])  # a body that swallows the cancellation is waited for, and its result dropped
        if not body.cancelled():
            body.exception()
        raise error

    async def drain(self, frame: Frame, how: Drain) -> None:
        if frame.lazy is not None:
            lazy, frame.lazy = frame.lazy, None
            lazy.start()
        while frame.children:
            waiting = [_on_loop(child) for child in frame.children]
            for future in waiting:
                if how == "abandon" or (how == "stop" and not getattr(future, "on_pool", False)):
                    future.cancel()
            await asyncio.wait(waiting)
            frame.children = {child for child in frame.children if not child.done()}

    def keep(self, saver: Checkpointer, operation: Operation[T]) -> Awaitable[T]:
        return saver.aexecute(operation)  # as it is: every coroutine around it is one more for each record

    async def remember(
        self, store: BaseStore, ops: Sequence[Op], pending: Sequence[PutOp | PreparedWrite]
    ) -> list[Result]:
        return await store.aexecute(ops, pending=pending)

    async def apply(self, store: BaseStore, writes: Sequence[PreparedWrite]) -> None:
        await store.aapply(writes)

    async def with_keeper(self, store: TransactionalStore[Any], how: How, work: Callable[[Keeper[Any], Any], T]) -> T:
        return await store.awith_keeper(how, work)

    async def prepare(self, store: BaseStore, writes: Sequence[PutOp]) -> Sequence[PreparedWrite]:
        return await store.aprepare(writes)

    async def cached(self, cache: BaseCache, namespace: tuple[str, ...], key: str) -> bytes | None:
        return await cache.aget(namespace, key)

    async def cache(
        self, cache: BaseCache, namespace: tuple[str, ...], key: str, data: bytes, ttl_s: float | None
    ) -> None:
        await cache.aset(namespace, key, data, ttl_s)

    async def wait(self, future: concurrent.futures.Future[None] | None) -> None:
        if future is not None:
            await asyncio.shield(asyncio.wrap_future(future))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait_for(self, turn: Turn, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        came = asyncio.Event()
        turns.when_ready(turn, partial(loop.call_soon_threadsafe, came.set))
        try:
            await asyncio.wait_for(came.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def hear(self, ear: Ear, seconds: float) -> None:
        came = asyncio.Event()
        ear.wake = partial(asyncio.get_running_loop().call_soon_threadsafe, came.set)
        with contextlib.suppress(TimeoutError):
            if not ear.heard:
                await asyncio.wait_for(came.wait(), seconds)
        ear.wake, ear.heard = None, False

    def canceller(self) -> Canceller | None:
        return Canceller()

    def chance(self, low: float, high: float) -> float:
        return random.uniform(low, high)


ON_LOOP = AsyncIO()


async def run_awaited(procedure: Awaitable[T]) -> T:
    """Run a procedure for async code. Whoever is cancelled as something is kept learns of it here, and not later."""
    value = await procedure
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        await asyncio.sleep(0)
    return value


def _was_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _on_loop(child: Any) -> asyncio.Future[Any]:
    if isinstance(child, LoopFuture):
        return child
    return asyncio.wrap_future(child)
