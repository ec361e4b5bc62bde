"""Carries news of threads to those in this process who wait for them: work that came, events, runs that ended.

News may come late, twice, or never: whoever waits looks at the database from time to time, too. What there is to do,
in which order and by whom, the database alone decides.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable
from typing import Protocol

from clew.engine.records import Queued, ThreadKey
from clew.storage.base import Checkpointer, Enqueue, Operation


class Ear:
    """Hears the news of one thread, or of all threads of a database. `close` it in any case."""

    __slots__ = ("_close", "heard", "wake")

    def __init__(self, close: Callable[[Ear], object]) -> None:
        self._close = close
        self.heard = False
        self.wake: Callable[[], object] | None = None  # called from any OS thread

    def ring(self) -> None:
        """Let it hear that there is news."""
        self.heard = True  # before `wake` is read: whoever sets that looks at this afterwards
        wake = self.wake
        if wake is not None:
            with contextlib.suppress(RuntimeError):  # that loop is closed, and nobody waits on it any more
                wake()

    def close(self) -> None:
        """Hear nothing more."""
        self._close(self)


class Dispatcher(Protocol):
    """How news of one database travels: between processes as far as the database can, and within this one."""

    def enqueue(self, place: Queued) -> Operation[bool]:
        """Return what keeps a place, and sends a wake-up to workers elsewhere in the same transaction."""
        ...

    def announce(self, thread: ThreadKey) -> None:
        """Say in this process that something was kept on a thread."""

    def listen(self, thread: ThreadKey | None = None) -> Ear:
        """Hear the news of a thread, or of all."""
        ...


class InProcess:
    """For databases that cannot call: news stays in this process, and other processes look from time to time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ears: dict[ThreadKey | None, set[Ear]] = {}

    def enqueue(self, place: Queued) -> Operation[bool]:
        return Enqueue(place)

    def announce(self, thread: ThreadKey) -> None:
        if not self._ears:
            return
        with self._lock:
            ears = [*self._ears.get(thread, ()), *self._ears.get(None, ())]
        for ear in ears:
            ear.ring()

    def listen(self, thread: ThreadKey | None = None) -> Ear:
        def close(ear: Ear) -> None:
            with self._lock:
                ears = self._ears.get(thread, set())
                ears.discard(ear)
                if not ears:
                    self._ears.pop(thread, None)

        ear = Ear(close)
        with self._lock:
            self._ears.setdefault(thread, set()).add(ear)
        return ear


_lock = threading.Lock()
_in_process: dict[Hashable, InProcess] = {}


def dispatcher_of(saver: Checkpointer) -> Dispatcher:
    """Return what carries the news of a checkpointer's database: its own, or this process's."""
    own: Dispatcher | None = getattr(saver, "dispatcher", None)
    if own is not None:
        return own
    with _lock:
        return _in_process.setdefault(saver.database.identity, InProcess())
