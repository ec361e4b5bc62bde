"""Calls embedders of either colour from code of either colour, and says what to try of a chunk that fails."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Coroutine
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

    def fail(self, error: Exception) -> None:
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


def reason_of(error: Exception) -> str:
    """Say why an embedder failed."""
    text = str(error)
    return text if isinstance(error, EmbeddingError) else f"{type(error).__name__}: {text}"


async def on_a_thread(function: Callable[[Any], Any], given: Any) -> Any:
    """Call an embedder off the event loop, and await its answer if that is to be awaited.

    No future can hold a StopIteration: it would be waited for in vain.
    """

    def call() -> Any:
        try:
            return function(given)
        except StopIteration as error:
            raise EmbeddingError(f"the embedder raised {error!r}") from error

    answer = await asyncio.to_thread(call)
    return await answer if inspect.isawaitable(answer) else answer


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
        except Exception as error:
            outcome.extend((None, error))

    thread = threading.Thread(target=run, name="clew-embed")
    thread.start()
    thread.join()
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]
