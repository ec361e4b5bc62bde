"""Calls embedders of either colour from code of either colour, and says what to try of a chunk that fails."""

from __future__ import annotations

import contextlib
import inspect
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from clew.errors import EmbeddingError
from clew.late import late

if TYPE_CHECKING:
    import asyncio
else:
    late(globals(), "asyncio")


class WrongAnswer(EmbeddingError):
    """An answer that has not one vector for each text: no fault of a text."""


class Parts:
    """Which texts of a chunk to embed next: of what fails ever smaller parts, so that one text spoils no others.

    Where the chunk fails, and its first, middle and last text alone as well, it is an outage: the rest is not tried.
    """

    def __init__(self, chunk: list[str]) -> None:
        self._left = [chunk]
        self._part: list[str] = []
        self._tried = self._failed = 0
        self.failure: str | None = None

    def next(self) -> list[str] | None:
        """Give the next part, or None at the end."""
        if not self._left or self._tried == self._failed == 4:
            return None
        self._tried += 1
        self._part = self._left.pop()
        return self._part

    def fail(self, error: BaseException) -> None:
        """Note that the part was not embedded."""
        part, half = self._part, len(self._part) // 2
        self.failure = self.failure or reason_of(error)
        self._failed += 1
        if isinstance(error, WrongAnswer):
            self._left.clear()
            return
        if half:
            self._left += [part[half:], part[:half]]
        if half > 1 and self._failed == 1:
            self._left += [part[-1:], part[half : half + 1], part[:1]]


def reason_of(error: BaseException) -> str:
    """Say why an embedder failed."""
    text = str(error)
    return text if isinstance(error, EmbeddingError) else f"{type(error).__name__}: {text}"


def is_failure(error: BaseException) -> bool:
    """Say whether an embedder failed, a call of its own that was cancelled included: nobody cancels blocking code."""
    return isinstance(error, Exception | asyncio.CancelledError)


def is_failure_here(error: BaseException) -> bool:
    """Like `is_failure`, in async code: not if the caller was cancelled."""
    task = asyncio.current_task()
    return isinstance(error, Exception) or (is_failure(error) and not (task and task.cancelling()))


class OwnThreads:
    """Turns of OS threads to call one embedder, and OS threads that do it for async code, not the program's own.

    A forked child has its own of both: the calls of its parent never end there.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: dict[int, tuple[threading.BoundedSemaphore, ThreadPoolExecutor]] = {}  # by process

    def turn(self) -> threading.BoundedSemaphore:
        """Give what a blocking caller enters for the time of a call."""
        return self._here()[0]

    async def call(self, function: Callable[[Any], Any], given: Any) -> Any:
        """Call a function there, in turn. A caller that is cancelled goes on; the call does, too, once it has begun."""
        turn, pool = self._here()

        def call() -> Any:
            try:
                with turn:
                    return function(given)
            except StopIteration as error:  # no future can hold one: it would be waited for in vain
                raise EmbeddingError(f"the embedder raised {error!r}") from error

        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(pool, lambda: context.run(call))

    def _here(self) -> tuple[threading.BoundedSemaphore, ThreadPoolExecutor]:
        if (made := self._made.get(os.getpid())) is None:
            pool = ThreadPoolExecutor(self._most, thread_name_prefix="clew-embed")
            made = self._made.setdefault(os.getpid(), (threading.BoundedSemaphore(self._most), pool))
        return made


class LoopTurns:
    """So many calls at a time on each event loop.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # How many use the semaphore of a loop, too: kept any longer than that it would keep its loop alive.
        self._turns: dict[asyncio.AbstractEventLoop, tuple[asyncio.Semaphore, int]] = {}

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait for a turn on the running loop, and have it for the length of a block."""
        loop = asyncio.get_running_loop()
        semaphore, users = self._turns.get(loop) or (asyncio.Semaphore(self._most), 0)
        self._turns[loop] = semaphore, users + 1
        try:
            async with semaphore:
                yield
        finally:
            _, users = self._turns.pop(loop)
            if users > 1:
                self._turns[loop] = semaphore, users - 1


def finish(answer: Any) -> Any:
    """Wait for the answer of an async embedder for a blocking caller; any other answer is given as it is.

    It is waited for on a loop of its own, beside one that is running here.
    """
    if not inspect.isawaitable(answer):
        return answer

    async def wait() -> Any:
        return await answer

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    return _in_a_thread(wait())


def _in_a_thread(work: Coroutine[Any, Any, Any]) -> Any:
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.extend((asyncio.run(work), None))
        except BaseException as error:
            outcome.extend((None, error))

    thread = threading.Thread(target=run, name="clew-embed")
    thread.start()
    thread.join()
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]
