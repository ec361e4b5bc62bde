"""What a procedure may ask for. In blocking runs none of these waits on a loop; in async runs each may."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from clew.errors import WouldWait
from clew.runner.cancelling import Canceller
from clew.runner.dispatching import Ear
from clew.runner.frame import Frame
from clew.runner.turns import Turn
from clew.storage.base import Checkpointer, Operation
from clew.storage.cache import BaseCache

if TYPE_CHECKING:
    from clew.store.base import BaseStore
    from clew.store.keeper import How, Keeper
    from clew.store.operations import Op, PutOp, Result
    from clew.store.planning import PreparedWrite
    from clew.store.transactional import TransactionalStore

T = TypeVar("T")
Drain = Literal["wait", "stop", "abandon"]


class RunnerIO(Protocol):
    """The verbs of a procedure."""

    def call(self, frame: Frame) -> Awaitable[Any]:
        """Run the function of a frame and return what it returns."""
        ...

    async def drain(self, frame: Frame, how: Drain) -> None:
        """See to it that every call that a body started has ended: "wait" for them; "stop" those that can be stopped
        and wait for the others; or "abandon" what cannot be stopped, too."""

    def keep(self, saver: Checkpointer, operation: Operation[T]) -> Awaitable[T]:
        """Carry out an operation of a checkpointer. One that has begun is never abandoned."""
        ...

    async def remember(
        self, store: BaseStore, ops: Sequence[Op], pending: Sequence[PutOp | PreparedWrite]
    ) -> list[Result]:
        """Carry out operations of a store."""
        ...

    async def apply(self, store: BaseStore, writes: Sequence[PreparedWrite]) -> None:
        """Carry out prepared writes of a store in a transaction of their own."""

    async def with_keeper(self, store: TransactionalStore[Any], how: How, work: Callable[[Keeper[Any], Any], T]) -> T:
        """Do something with everything that a store keeps, in one transaction."""
        ...

    async def prepare(self, store: BaseStore, writes: Sequence[PutOp]) -> Sequence[PreparedWrite]:
        """Check and embed writes of a store, outside any transaction."""
        ...

    async def cached(self, cache: BaseCache, namespace: tuple[str, ...], key: str) -> bytes | None:
        """Look up a cached result."""

    async def cache(
        self, cache: BaseCache, namespace: tuple[str, ...], key: str, data: bytes, ttl_s: float | None
    ) -> None:
        """Keep a result in a cache."""

    async def wait(self, future: Future[None] | None) -> None:
        """Wait until work on a pool has ended."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def hear(self, ear: Ear, seconds: float) -> None:
        """Wait until there is news, but no longer than so many seconds."""

    def canceller(self) -> Canceller | None:
        """Return what cancels the code that runs here, or None where that cannot be cancelled."""

    def chance(self, low: float, high: float) -> float:
        """Return a number between two others by chance."""
        ...

    async def wait_for(self, turn: Turn, seconds: float) -> bool:
        """Wait for a turn on a thread; say whether it came in time."""
        ...


def run_blocking(procedure: Coroutine[Any, Any, T]) -> T:
    """Run a procedure whose IO never waits; no event loop is involved.

    Raises:
        WouldWait: it reached an await that waits.
        Whatever the procedure raises.
    """
    try:
        procedure.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    raise would_wait(procedure)


def each_blocking(procedure: AsyncGenerator[T]) -> Iterator[T]:
    """Give what a procedure yields whose IO never waits, each when it is asked for.

    Raises:
        WouldWait: it reached an await that waits.
        Whatever the procedure raises.
    """
    try:
        while True:
            yield run_blocking(_next_of(procedure))
    except StopAsyncIteration:
        return
    finally:
        run_blocking(procedure.aclose())


async def _next_of(procedure: AsyncGenerator[T]) -> T:
    return await anext(procedure)


def would_wait(procedure: Coroutine[Any, Any, Any]) -> WouldWait:
    """End a procedure that was to run without waiting, and waits; return what to raise."""
    procedure.close()
    return WouldWait("a blocking run reached an await that waits; use ainvoke")
