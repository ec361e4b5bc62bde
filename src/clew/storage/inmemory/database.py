"""The state of one process: a lock, and transactions that can be taken back. It knows neither items nor journals."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from typing import Any


class InMemoryDatabase:
    """What the in-memory store and saver share, so that their writes can be committed together.

    `rooms` holds each part's state under its own name.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.rooms: dict[str, Any] = {}
        self._undo: list[Callable[[], None]] = []
        self._depth = 0

    @property
    def identity(self) -> Hashable:
        """Equal for objects that keep their data in the same place, so that one may commit for the other."""
        return id(self)

    def on_rollback(self, undo: Callable[[], None]) -> None:
        """Remember how to take back a change just made; called inside a transaction."""
        self._undo.append(undo)

    def compact(self) -> None:
        """Do nothing: what was removed is gone."""

    async def acompact(self) -> None:
        """Do nothing: what was removed is gone."""

    @contextmanager
    def transaction(self, *, keep: bool = True) -> Generator[None]:
        """Hold the lock; take back what was changed inside when it raises, or when it is not to be kept."""
        with self.lock:
            start = len(self._undo)
            self._depth += 1
            try:
                yield
            except BaseException:
                self._take_back(start)
                raise
            else:
                if not keep:
                    self._take_back(start)
            finally:
                self._depth -= 1
                if not self._depth:
                    self._undo.clear()

    def _take_back(self, start: int) -> None:
        while len(self._undo) > start:
            self._undo.pop()()
