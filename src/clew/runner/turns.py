"""Whose turn it is on a thread among the runs of this process: first come, first served."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable

from clew.engine.records import ThreadKey


class Turn:
    """A place in the queue of a thread. It has come when `ready` is true; `leave` it in any case."""

    __slots__ = ("_key", "_turns", "ready", "wake")

    def __init__(self, turns: Turns, key: Hashable) -> None:
        self._turns = turns
        self._key = key
        self.ready = False
        self.wake: Callable[[], object] | None = None

    def leave(self) -> None:
        """Give the place up, and with it the turn."""
        self._turns._leave(self._key, self)


class Turns:
    """The queues of all threads of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[Hashable, deque[Turn]] = {}

    def join(self, database: Hashable, thread: ThreadKey) -> Turn:
        """Take a place in the queue of a thread in the database of that identity."""
        key = (database, thread)
        turn = Turn(self, key)
        with self._lock:
            queue = self._queues.setdefault(key, deque())
            queue.append(turn)
            turn.ready = len(queue) == 1
        return turn

    def _leave(self, key: Hashable, turn: Turn) -> None:
        with self._lock:
            queue = self._queues[key]
            queue.remove(turn)
            if not queue:
                del self._queues[key]
                return
            following = queue[0]
            if following.ready:
                return
            following.ready = True
            wake = following.wake
        if wake is not None:
            wake()

    def when_ready(self, turn: Turn, wake: Callable[[], object]) -> None:
        """Call `wake`, from any OS thread, once the turn has come; at once if it has."""
        with self._lock:
            turn.wake = wake
            ready = turn.ready
        if ready:
            wake()


turns = Turns()
