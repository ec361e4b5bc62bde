"""What calling a task in async code gives: an asyncio.Future whose work begins in one of two ways.

As in blocking code a call is not begun at once but remembered. If it is awaited next, its work is driven right there,
inside the asyncio task that awaits it, with a context of its own and without a round through the loop. Else (another
call is made, it is handed to gather, or the body simply goes on) it gets an asyncio task of its own at the loop's next
round, so that a call always starts by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import copy_context
from typing import Any, TypeVar

from clew.runner.frame import Call, Frame
from clew.runner.futures import note_failure

T = TypeVar("T")

_MOST_IN_A_ROW = 64  # calls driven by their awaiters before the loop gets a round for others


class LoopFuture(asyncio.Future[T]):
    """The future of a call made by async code.

    Args:
        call: what was called.
        work: runs the call.
        loop: the one that runs here.
        on_pool: whether the work waits for an OS thread, which a cancellation does not stop.
    """

    heard = False
    on_pool = False
    _task: asyncio.Task[Any] | None = None  # the one that drives the work
    _is_guest = False  # that task is its awaiter's
    _was_cancelled = False

    def __init__(
        self, call: Call, work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, *, on_pool: bool = False
    ) -> None:
        super().__init__(loop=loop)
        if on_pool:
            self.on_pool = True
        self._call = call
        self._work: Coroutine[Any, Any, T] | None = work
        self._context = copy_context()

    def __await__(self) -> Generator[Any, Any, T]:
        self.heard = True
        frame = self._call.parent
        if frame is None or frame.lazy is not self or self._work is None or not self._is_all_that_runs(frame):
            return super().__await__()
        frame.in_a_row += 1
        if frame.in_a_row % _MOST_IN_A_ROW == 0:
            return super().__await__()  # the loop's next round begins it, and others as well
        frame.lazy = None
        return self._driven(frame.home)

    def start(self) -> None:
        """Give the work an asyncio task of its own, unless it has begun or was cancelled."""
        if self._work is not None:
            if self._call.parent is not None:
                self._call.parent.children.add(self)
            # Whoever asks, asks this future; the task behind it only has to be held until it ends.
            self._task = self.get_loop().create_task(self._settled(), context=self._context)

    def cancel(self, msg: Any | None = None) -> bool:
        if self.done():
            return False
        self._was_cancelled = True
        is_new = self._work is not None
        if self._work is not None:
            self._work.close()
            self._work = None
        if self._task is not None:
            self._task.cancel(msg)
        return not is_new or self._end_cancelled(msg)

    def result(self) -> T:
        self.heard = True
        self._check_done()
        return super().result()

    def exception(self) -> BaseException | None:
        self.heard = True
        self._check_done()
        return super().exception()

    def _check_done(self) -> None:
        if not self.done():
            raise asyncio.InvalidStateError("the call has not ended; in async code, await it: `await task(...)`")

    def _is_all_that_runs(self, frame: Frame) -> bool:
        """Say whether the body awaits this call and has no other under way, which may need rounds of the loop."""
        return not frame.children and asyncio.current_task(frame.loop) is frame.home

    def _driven(self, task: Any) -> Generator[Any, Any, T]:
        """Drive the work inside the task that awaits it, step by step in the call's own context."""
        self._task, self._is_guest = task, True
        run, work = self._context.run, self._outcome()
        step, given = work.send, None
        while True:
            try:
                waits_for = run(step, given)
            except StopIteration as ended:
                value: T = ended.value
                if task.cancelling():
                    yield  # its awaiter was cancelled as it was kept, and learns of it here and not later
                return value
            try:
                step, given = work.send, (yield waits_for)
            except BaseException as error:
                step, given = work.throw, error

    async def _settled(self) -> None:
        try:
            await self._outcome()
        except (KeyboardInterrupt, SystemExit):
            raise  # the loop itself has to hear of these
        except BaseException:
            pass  # it is this future's now

    async def _outcome(self) -> T:
        """Run the work, and settle the future with what it comes to."""
        work, self._work = self._work, None
        assert work is not None
        try:
            try:
                value = await work
            finally:
                if self._is_guest and self._was_cancelled and self._task is not None:
                    self._task.uncancel()  # it was this call that was to end, not its awaiter
        except asyncio.CancelledError as error:
            self._end_cancelled(*error.args[:1])  # by its message libraries know a cancellation of their own
            raise
        except BaseException as error:
            note_failure(self._call, self, error)
            self._forget()
            self.set_exception(error)
            super().exception()  # whether anybody asked is noted elsewhere
            raise
        self._forget()
        self.set_result(value)
        return value

    def _end_cancelled(self, msg: Any | None = None) -> bool:
        self._forget()
        return super().cancel(msg)

    def _forget(self) -> None:
        if not self._is_guest and self._call.parent is not None:
            self._call.parent.children.discard(self)
        self._task = None


def on_loop(call: Call, work: Coroutine[Any, Any, T], *, on_pool: bool = False) -> LoopFuture[T]:
    """Remember a call made on the loop that runs here."""
    parent = call.parent
    assert parent is not None
    assert parent.loop is not None
    future = LoopFuture(call, work, parent.loop, on_pool=on_pool)
    if parent.lazy is not None:
        parent.lazy.start()
    parent.lazy = future
    if not parent.has_starter:
        parent.has_starter = True
        parent.loop.call_soon(_start_lazy, parent)
    return future


def _start_lazy(frame: Frame) -> None:
    frame.has_starter = False
    if frame.lazy is not None:
        lazy, frame.lazy = frame.lazy, None
        lazy.start()
