"""Carries news of threads to those in this process who wait for them: work that came, events, runs that ended.

News may come late, twice, or never: whoever waits looks at the database from time to time, too. What there is to do,
in which order and by whom, the database alone decides.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

from clew.engine.records import ThreadKey
from clew.storage.base import Checkpointer
from clew.storage.news import News


class Ear:
    """Hears the news of one thread, or of all threads of a database. `close` it in any case."""

    __slots__ = ("_endings", "heard", "wake")

    def __init__(self) -> None:
        self._endings: list[Callable[[], object]] = []
        self.heard = False
        self.wake: Callable[[], object] | None = None  # called from any OS thread

    def ring(self) -> None:
        """Let it hear that there is news."""
        self.heard = True  # before `wake` is read: whoever sets that looks at this afterwards
        wake = self.wake
        if wake is not None:
            with contextlib.suppress(RuntimeError):  # that loop is closed, and nobody waits on it any more
                wake()

    def when_closed(self, end: Callable[[], object]) -> None:
        """Have `end` called once nothing more is heard."""
        self._endings.append(end)

    def close(self) -> None:
        """Hear nothing more."""
        for end in self._endings:
            end()


class Dispatcher(Protocol):
    """How news of one database travels: between processes as far as the database can, and within this one.

    What is announced here is known in this process at once. Databases that call tell other processes by themselves, in
    the transaction that keeps what the news is about.
    """

    def announce(self, thread: ThreadKey) -> None:
        """Say in this process that something was kept on a thread."""

    def listen(self, thread: ThreadKey | None = None) -> Ear:
        """Hear the news of a thread, or that of all threads in this process."""
        ...

    def attend(self, workflows: Sequence[str], woken: Callable[[], object]) -> Callable[[], None]:
        """Call `woken` for each wake-up from elsewhere because of work for some workflows; see News.

        Returns:
            what ends that.
        """
        ...


class InProcess:
    """For databases that cannot call: news stays in this process, and other processes look from time to time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ears: dict[ThreadKey | None, set[Ear]] = {}

    def announce(self, thread: ThreadKey) -> None:
        if not self._ears:
            return
        with self._lock:
            ears = [*self._ears.get(thread, ()), *self._ears.get(None, ())]
        for ear in ears:
            ear.ring()

    def listen(self, thread: ThreadKey | None = None) -> Ear:
        ear = Ear()
        with self._lock:
            self._ears.setdefault(thread, set()).add(ear)
        ear.when_closed(lambda: self._forget(thread, ear))
        return ear

    def _forget(self, thread: ThreadKey | None, ear: Ear) -> None:
        with self._lock:
            ears = self._ears.get(thread, set())
            ears.discard(ear)
            if not ears:
                self._ears.pop(thread, None)

    def attend(self, workflows: Sequence[str], woken: Callable[[], object]) -> Callable[[], None]:
        return lambda: None


class BetweenProcesses:
    """For databases that call.

    Args:
        near: carries the news within this process.
        far: brings those of others.
    """

    def __init__(self, near: Dispatcher, far: News) -> None:
        self._near = near
        self._far = far

    def announce(self, thread: ThreadKey) -> None:
        self._near.announce(thread)

    def listen(self, thread: ThreadKey | None = None) -> Ear:
        ear = self._near.listen(thread)
        if thread is not None:
            ear.when_closed(self._far.follow(thread, ear.ring))
        return ear

    def attend(self, workflows: Sequence[str], woken: Callable[[], object]) -> Callable[[], None]:
        return self._far.attend(workflows, woken)


_lock = threading.Lock()
_in_process: dict[Hashable, InProcess] = {}


def heed(saver: Checkpointer, thread: ThreadKey, tell: Callable[[], object]) -> Callable[[], None]:
    """Call `tell` when the run on a thread is asked to do something, if its database calls; give what ends that."""
    far: News | None = getattr(saver.database, "news", None)
    return (lambda: None) if far is None else far.heed(thread, tell)


def dispatcher_of(saver: Checkpointer) -> Dispatcher:
    """Return what carries the news of a checkpointer's database."""
    database = saver.database
    with _lock:
        near = _in_process.setdefault(database.identity, InProcess())
    far: News | None = getattr(database, "news", None)
    return near if far is None else BetweenProcesses(near, far)
