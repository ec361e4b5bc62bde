"""What calling a task gives: a future that is both awaitable and has `.result()`.

In blocking code a call is not begun at once but remembered: if its result is asked for next, it runs right there, on
the caller's OS thread, and nothing is handed anywhere. As soon as the caller does anything else (calls another task,
waits for another result, or simply goes on for a millisecond) it is handed to a pool, so that a call always starts by
itself.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures._base import FINISHED, PENDING, RUNNING
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from clew.late import late
from clew.runner import pools
from clew.runner.crew_io import Unkept
from clew.runner.frame import Call
from clew.runner.io import RunnerIO, would_wait
from clew.runner.sync_io import BLOCKING

if TYPE_CHECKING:
    import asyncio
else:
    late(globals(), "asyncio")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Procedure = Callable[[RunnerIO, Call], Coroutine[Any, Any, T]]

_TICK_S = 0.001
_IDLE_TICKS = 200


class TaskFuture(Protocol[T_co]):
    """The outcome of a call that may still be under way."""

    def result(self, timeout: float | None = None) -> T_co:
        """Return what the call returned, waiting for it in blocking code; raise what it raised.

        Args:
            timeout: for how long to wait, in seconds; None: for ever.

        Raises:
            TimeoutError: it has not ended in time; it goes on all the same.
            asyncio.InvalidStateError: in async code, before the call has ended; await the future there.
        """
        ...

    def __await__(self) -> Generator[Any, Any, T_co]: ...

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the call raised, or None; waits as `result` does.

        Args:
            timeout: for how long to wait, in seconds; None: for ever.
        """

    def done(self) -> bool:
        """Say whether the call has ended."""
        ...

    def cancel(self) -> bool:
        """Cancel the call if it can be; say whether it can."""
        ...

    def cancelled(self) -> bool:
        """Say whether the call was cancelled."""
        ...

    def add_done_callback(self, fn: Callable[[Any], object], /) -> None:
        """Call a function with this future once the call has ended.

        Args:
            fn: what to call.
        """


class Future(concurrent.futures.Future[T]):
    """The future of a call made by blocking code.

    Most calls are made, and asked for, by one OS thread: what others need in order to wait for them is made only when
    somebody does.

    Args:
        call: what was called.
        context: the caller's context variables.
        procedure: runs the call without ever waiting on a loop.
    """

    _condition: threading.Condition
    _waiters: list[Any]
    _done_callbacks: list[Any]
    _state = PENDING
    _result: T | None = None
    _exception: BaseException | None = None
    heard = False
    handed_over = False
    has_thread = False  # it was handed to a pool that had an OS thread free for it, and so has begun
    held = False  # it waits for a place, and must not begin
    stop: Callable[[], object] | None = None  # cancels the work on a loop that this future stands for

    def __init__(self, call: Call, context: Context, procedure: Procedure[T]) -> None:
        self.call = call
        self._context = context
        self._procedure = procedure

    def __getattr__(self, name: str) -> Any:
        """Make what others need to wait for the call."""
        if name not in _MADE_TO_WAIT:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with _making:
            return self.__dict__.setdefault(name, _MADE_TO_WAIT[name]())

    def result(self, timeout: float | None = None) -> T:
        parent = self.call.parent
        if timeout is None and parent is not None and parent.lazy is self:  # it is what was called last
            self.heard, parent.lazy = True, None
            self.begin()
        else:
            self._before_waiting(timeout)
        if self._state == FINISHED and self._exception is None:
            return self._result  # type: ignore[return-value]  # it is there now
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._before_waiting(timeout)
        return super().exception(timeout)

    def __await__(self) -> Generator[Any, Any, T]:
        self.heard = True
        hand_over(self)
        return asyncio.wrap_future(self).__await__()

    def start(self) -> None:
        """Let a pool begin the call, if nobody has."""
        hand_over(self)

    def begin(self, io: RunnerIO = BLOCKING) -> None:
        """Run the call here and now, unless somebody has begun it already."""
        if self.held:
            return
        try:
            del _unbegun[self]
        except KeyError:
            return
        self._state = RUNNING  # whoever claimed it alone may change it
        procedure = self._procedure(io, self.call)
        try:
            stop = self._context.run(procedure.send, None)
        except StopIteration as ended:
            value: T = ended.value
            with _making:
                is_alone = "_condition" not in self.__dict__  # whoever comes now finds it finished
                if is_alone:
                    self._result, self._state = value, FINISHED
            if not is_alone:
                self.set_result(value)
            if self.handed_over:
                _forget(self)
        except BaseException as error:
            self._fail(error)
        else:
            self._wait(procedure, stop)

    def begin_in_crew(self) -> None:
        """Like `begin`, but what the call came to may be kept with others, while this OS thread does something else."""
        self.begin(self.call.execution.crew_io)

    def _wait(self, procedure: Coroutine[Any, Any, T], stop: object) -> None:
        if isinstance(stop, Unkept):
            stop.wait(partial(self._go_on, procedure))
        else:
            self._fail(would_wait(procedure))

    def _go_on(self, procedure: Coroutine[Any, Any, T]) -> None:
        try:
            stop = self._context.run(procedure.send, None)
        except StopIteration as ended:
            self.set_result(ended.value)
            _forget(self)
        except BaseException as error:
            self._fail(error)
        else:
            self._wait(procedure, stop)

    def _fail(self, error: BaseException) -> None:
        note_failure(self.call, self, error)
        self.set_exception(error)
        if self.handed_over:
            _forget(self)

    def cancel(self) -> bool:
        """Cancel the call if it has not begun, or runs on a loop; say whether it can be."""
        if self.stop is None:
            if _unbegun.pop(self, self) is self:
                return self.cancelled()
            super().cancel()
            self.set_running_or_notify_cancel()  # else those who wait for it are never told
            _forget(self)
            return True
        if super().cancel():
            return True
        if self.done():
            return False
        self.stop()
        return True

    def done(self) -> bool:
        return self._state not in (PENDING, RUNNING)

    def _before_waiting(self, timeout: float | None) -> None:
        self.heard = True
        parent = self.call.parent
        if parent is not None and parent.lazy is not None:
            lazy, parent.lazy = parent.lazy, None
            if lazy is not self:
                lazy.start()
        if timeout is None:
            self.begin()
        elif self in _unbegun and not self.held:
            # On an OS thread of its own: every one of the pool may be waiting like this one.
            threading.Thread(target=self.begin, name="clew-awaited", daemon=True).start()


class Finished(Future[T]):
    """The future of a call that has ended: one outside any run, or one that was recorded.

    Args:
        value: what it returned.
        error: what it raised, or None.
    """

    _state = FINISHED
    heard = True

    def __init__(self, value: T | None = None, error: BaseException | None = None) -> None:
        self._result = value
        self._exception = error

    def result(self, timeout: float | None = None) -> T:
        return self._result if self._exception is None else super(Future, self).result()  # type: ignore[return-value]

    def exception(self, timeout: float | None = None) -> BaseException | None:
        return self._exception

    def start(self) -> None:
        """Do nothing: there is nothing left to begin."""

    def begin(self, io: RunnerIO = BLOCKING) -> None:
        """Do nothing either."""


def note_failure(call: Call, future: Any, error: BaseException) -> None:
    """Remember an error until somebody asks for it."""
    if call.parent is not None and isinstance(error, Exception):
        call.parent.unheard.append((call.callee.name, future, error))


def remember(call: Call, procedure: Procedure[T]) -> Future[T]:
    """Return the future of a call that is left unbegun for a moment, in case its result is asked for next.

    Args:
        call: what is called by blocking code.
        procedure: runs the call without ever waiting on a loop.
    """
    future = Future(call, copy_context(), procedure)
    parent = call.parent
    assert parent is not None
    if parent.lazy is not None:
        parent.lazy.start()
    parent.lazy = future
    _unbegun[future] = None
    if not _starter.armed:
        _starter.arm()
    return future


def hand_over(future: Future[Any]) -> None:
    """Let a pool begin a call, if nobody has."""
    if future.handed_over or future.held or future.done():
        return
    future.handed_over = True
    parent = future.call.parent
    if parent is not None:
        parent.children.add(future)
    future.has_thread = len(_under_way) < pools.MOST_THREADS
    _under_way.add(future)
    if future.done():  # somebody was quicker
        _forget(future)
    pools.crew().add(future.begin_in_crew)


def _forget(future: Future[Any]) -> None:
    """Take note that a call has ended. Not by its callbacks: for these a lock has to be made."""
    if future.call.parent is not None:
        future.call.parent.children.discard(future)
    _under_way.discard(future)


def hold(future: Future[Any]) -> None:
    """Keep a call from beginning until it has a place; the body that made it waits for it all the same."""
    future.held = True
    _unbegun[future] = None
    parent = future.call.parent
    if parent is not None:
        parent.children.add(future)


def let_go(future: Future[Any]) -> None:
    """Let a call begin that has a place now."""
    future.held = False
    hand_over(future)


def transfer(future: Future[Any], work: asyncio.Task[Any]) -> None:
    """Give the outcome of work on a loop to the future that blocking code holds."""
    if work.cancelled():
        future.set_exception(asyncio.CancelledError())
    elif (error := work.exception()) is not None:
        note_failure(future.call, future, error)
        future.set_exception(error)
    else:
        future.set_result(work.result())


_MADE_TO_WAIT: dict[str, Callable[[], Any]] = {
    "_condition": threading.Condition, "_waiters": list, "_done_callbacks": list,
}  # fmt: skip
_making = threading.Lock()  # held while a condition is made, or a future ends that has none
# Whoever removes a call from here has the right to begin it, or to cancel it. Removing is atomic.
_unbegun: dict[Future[Any], None] = {}
_under_way: set[Future[Any]] = set()  # handed to the pool, and not ended


class _Starter:
    """Hands over calls that nobody asked for within a tick, so that a call starts by itself."""

    def __init__(self) -> None:
        self.armed = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def arm(self) -> None:
        self.armed = True
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._watch, name="clew-starter", daemon=True)
            self._thread.start()
        self._wake.set()

    def _watch(self) -> None:
        seen: set[Future[Any]] = set()
        idle, pause = 0, threading.Event()
        while True:
            if idle > _IDLE_TICKS:
                self.armed = False
                if not _unbegun:  # one may have come between the last look and the line above
                    self._wake.wait()
                self.armed = True
                self._wake.clear()
                idle = 0
            pause.wait(_TICK_S)  # not time.sleep, which people patch in tests of their retries
            waiting = {future for future in list(_unbegun) if not (future.handed_over or future.held)}
            for future in waiting & seen:
                hand_over(future)
            seen = waiting
            idle = 0 if pools.crew().grow() or waiting else idle + 1


_starter = _Starter()
