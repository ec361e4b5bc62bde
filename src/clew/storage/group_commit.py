"""Group commit: whoever gets the lock commits for all who wait. Knows no database.

An uncontended blocking caller carries its own work out, on its own OS thread; async callers leave theirs to one OS
thread of the group, off the event loop. Waking it takes as long as many a commit: few callers, or one that comes alone,
may be served on their own loop, if the database can do that without holding it up.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from clew.late import late

if TYPE_CHECKING:
    import asyncio

    from clew.storage import uncancelled
else:
    late(globals(), "asyncio", "clew.storage.uncancelled")

T = TypeVar("T")
W = TypeVar("W")

_MOST_AT_ONCE = 8


class Waiting(Generic[W, T]):
    """One unit of work that waits for its commit."""

    __slots__ = ("done", "error", "gate", "loop", "value", "waiter", "work")

    def __init__(self, work: W) -> None:
        self.work = work
        self.done = False
        self.gate: threading.Lock | None = None  # closed while a blocking caller waits
        self.value: T | None = None
        self.error: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.waiter: uncancelled.Uncancelled[None] | None = None

    def wake(self) -> None:
        """Let a blocking caller look whether its work is done, or is its own to do."""
        if self.gate is not None:
            with contextlib.suppress(RuntimeError):  # it is awake
                self.gate.release()

    def fail(self, error: BaseException) -> None:
        """Note why it was not kept; the first reason stays."""
        if self.error is None:
            self.error = error

    def result(self) -> T:
        """Return what the work gave, or raise why it was not kept."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


class GroupCommit(Generic[W]):
    """Carries out work in batches, one batch at a time.

    Args:
        carry_out: does the work of a batch; sets `value` or calls `fail` of each. What it raises fails the batch.
        most: of one batch.
        name: of the OS thread that serves async callers.
        on_loop: does one piece of work on the event loop of an async caller without holding it up, for one that comes
            while nobody else has any. None: that cannot be.
        at_once: does the work of a small batch on the event loop of those who asked for it, as `carry_out` does, and
            says whether it did: not where that would take a while. None: it never can.
    """

    def __init__(
        self,
        carry_out: Callable[[list[Waiting[W, Any]]], None],
        *,
        most: int,
        name: str,
        on_loop: Callable[[W], Awaitable[Any]] | None = None,
        at_once: Callable[[list[Waiting[W, Any]]], bool] | None = None,
    ) -> None:
        #: Held while something is carried out; only ever by a `with`, which Ctrl-C cannot come in between.
        self.lock = threading.Lock()
        self._at_once = at_once
        #: The loops that will look what waits, after all that is to run on them now.
        self._looking: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        self._on_loop = on_loop
        self._one_on_loop = threading.Lock()
        self._carry_out = carry_out
        self._most = most
        self._waiting: deque[Waiting[W, Any]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)  # it starts with its first work
        self._is_at_work = False

    def run(self, work: W) -> Any:
        """Return what the work gives, once it is committed."""
        unit: Waiting[W, Any] = Waiting(work)
        gate = unit.gate = threading.Lock()
        gate.acquire()
        try:
            self._waiting.append(unit)
            while not unit.done:
                if self.lock.locked():
                    # Not for the lock: to get it only to see that others did the work would hold up those who need it.
                    gate.acquire()
                else:
                    self._commit_batch()
        except BaseException:  # such as Ctrl-C: it may have been chosen to commit for the others
            with contextlib.suppress(ValueError):  # it is being carried out
                self._waiting.remove(unit)
            self._wake_next()
            raise
        return unit.result()

    async def arun(self, work: W) -> Any:
        """Like `run`, off the event loop. A caller that is cancelled meanwhile learns of it at its next await."""
        if self._on_loop is not None and self._is_idle() and self._one_on_loop.acquire(blocking=False):
            try:
                return await self._on_loop(work)
            finally:
                self._one_on_loop.release()
        unit: Waiting[W, Any] = Waiting(work)
        unit.loop = asyncio.get_running_loop()
        unit.waiter = uncancelled.Uncancelled(loop=unit.loop)
        self._waiting.append(unit)
        if self._at_once is None or len(self._waiting) > _MOST_AT_ONCE:
            self._start_thread()
        elif not self._is_at_work and unit.loop not in self._looking:
            self._looking.add(unit.loop)
            unit.loop.call_soon(self._commit_here, unit.loop)
        await uncancelled.lasting(unit.waiter)
        return unit.result()

    def _is_idle(self) -> bool:
        return not (self._waiting or self._is_at_work or self.lock.locked())

    def is_free(self) -> bool:
        """Say whether nobody waits and nothing is carried out: then one's own work, under the lock, needs no batch."""
        return not (self._waiting or self.lock.locked())

    def go_on(self) -> None:
        """Let others carry out what has come while the lock was held."""
        if self._waiting:
            self._wake_next()

    @contextlib.contextmanager
    def alone(self) -> Generator[None]:
        """Let nothing be carried out for the length of a block."""
        try:
            with self.lock:
                yield
        finally:
            self.go_on()

    def close(self) -> None:
        """Commit what waits and end the OS thread."""
        self._thread.shutdown(wait=True)
        while self._waiting:  # for a loop that has not come to it
            self._commit_batch()

    def _commit_here(self, loop: asyncio.AbstractEventLoop) -> None:
        """Commit what waits, if that takes no longer than to have it done off the event loop."""
        self._looking.discard(loop)
        if len(self._waiting) <= _MOST_AT_ONCE and not self.lock.locked():
            self._commit_batch(loop)
        if self._waiting:
            self._start_thread()

    def _start_thread(self) -> None:
        if not self._is_at_work:
            self._is_at_work = True
            self._thread.submit(self._commit_waiting)

    def _commit_waiting(self) -> None:
        while True:
            while self._waiting:  # nothing, if a blocking caller was quicker
                self._commit_batch()
            self._is_at_work = False
            if not self._waiting:  # somebody may have relied on it
                return
            self._is_at_work = True

    def _commit_batch(self, here: asyncio.AbstractEventLoop | None = None) -> None:
        """Commit what waits, up to the most that one batch takes.

        Args:
            here: the loop that runs on this OS thread, where nothing is done that would hold it up.
        """
        batch: list[Waiting[W, Any]] = []
        try:
            with self.lock:
                while self._waiting and len(batch) < self._most:  # nothing, if somebody has just done it
                    batch.append(self._waiting[0])  # before it is taken: Ctrl-C may come in between
                    self._waiting.popleft()
                if not batch:
                    pass
                elif here is None:
                    self._carry_out(batch)
                elif self._at_once is None or not self._at_once(batch):
                    self._waiting.extendleft(reversed(batch))
                    batch = []
        except BaseException as error:
            for unit in batch:
                unit.fail(error)
            if not isinstance(error, Exception):
                raise
        finally:
            for unit in batch:
                unit.done = True
            self._wake_next()
            _wake(batch, here)

    def _wake_next(self) -> None:
        """Wake who waits first: it came while the lock was held, so it may be that nobody else commits its work."""
        with contextlib.suppress(IndexError):
            self._waiting[0].wake()


def _wake(batch: list[Waiting[Any, Any]], here: asyncio.AbstractEventLoop | None = None) -> None:
    """Wake who waits for a batch: each loop once, for waking one costs more than the rest; not that which runs here."""
    waiters: dict[asyncio.AbstractEventLoop, list[uncancelled.Uncancelled[None]]] = {}
    for unit in batch:
        unit.wake()
        if unit.loop is not None and unit.waiter is not None:
            waiters.setdefault(unit.loop, []).append(unit.waiter)
    if here is not None:
        _set(waiters.pop(here, []))
    for loop, those in waiters.items():
        with contextlib.suppress(RuntimeError):  # the loop is gone, and with it whoever waited
            loop.call_soon_threadsafe(_set, those)


def _set(waiters: list[uncancelled.Uncancelled[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


async def finished(future: asyncio.Future[T]) -> T:
    """Return what a future gives, even if the caller is cancelled meanwhile; then at its next await it learns of it.

    A write that has begun is never abandoned: what was written must be known to whoever wrote, such as a lease.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if future.cancelled():
            raise
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(future)
        uncancelled.cancel_at_next_await()
        return future.result()
