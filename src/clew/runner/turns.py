"""Whose turn it is on a thread among the callers of this process: first come, first served.

Callers that go on with what is there come before new inputs. A caller may want whoever is before it to stop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Protocol

from clew.engine.records import ThreadKey
from clew.storage.base import Asked


class Told(Protocol):
    """A run that can be told to stop, from any OS thread."""

    def tell(self, what: Asked) -> None: ...


class Turn:
    """A place in the line for a thread, once it is joined. It has come when `ready` is true; `leave` it in any case.

    Args:
        turns: all lines.
        key: which line.
        run: what is run when the turn has come.
        goes_on: whether it goes on with what is there, and so comes before new inputs.
        wants: what those before it are to be told, or None.
        run_id: of the run, where its caller has named it; it is never told anything by another call for itself.
    """

    __slots__ = ("_key", "_turns", "goes_on", "ready", "run", "run_id", "wake", "wants")

    def __init__(
        self, turns: Turns, key: Hashable, run: Told, *, goes_on: bool, wants: Asked | None, run_id: str | None
    ) -> None:
        self._turns = turns
        self._key = key
        self.run = run
        self.goes_on = goes_on
        self.wants: Asked | None = wants
        self.run_id = run_id
        self.ready = False
        self.wake: Callable[[], object] | None = None

    @property
    def is_behind_itself(self) -> bool:
        """Whether it waits for another call of the run that its caller has named."""
        return self.run_id is not None and self._turns._holder(self._key).run_id == self.run_id

    def join(self) -> None:
        """Take the place. Whoever is interrupted meanwhile may have it, and has to leave it."""
        self._turns._join(self._key, self)

    def leave(self) -> None:
        """Give the place up, and with it the turn, if it was taken."""
        self._turns._leave(self._key, self)


class Turns:
    """The lines before all threads of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[Hashable, list[Turn]] = {}  # short ones; thousands of them

    def turn(
        self,
        database: Hashable,
        thread: ThreadKey,
        run: Told,
        *,
        goes_on: bool = False,
        wants: Asked | None = None,
        run_id: str | None = None,
    ) -> Turn:
        """Return a place in the line for a thread in the database of that identity, to be joined; see Turn."""
        return Turn(self, (database, thread), run, goes_on=goes_on, wants=wants, run_id=run_id)

    def _join(self, key: Hashable, turn: Turn) -> None:
        with self._lock:
            line = self._lines.setdefault(key, [])
            turn.ready = not line
            line.insert(_position(line, turn), turn)
            what = _told(line)
        if what is not None:
            line[0].run.tell(what)

    def _holder(self, key: Hashable) -> Turn:
        with self._lock:
            return self._lines[key][0]

    def _leave(self, key: Hashable, turn: Turn) -> None:
        with self._lock:
            line = self._lines.get(key, [])
            if turn not in line:
                return
            line.remove(turn)
            if not line:
                del self._lines[key]
                return
            following = line[0]
            if following.ready:
                return
            following.ready = True
            wake, what = following.wake, _told(line)
        if what is not None:
            following.run.tell(what)
        if wake is not None:
            wake()

    def when_ready(self, turn: Turn, wake: Callable[[], object]) -> None:
        """Call `wake`, from any OS thread, once the turn has come; at once if it has."""
        with self._lock:
            turn.wake = wake
            ready = turn.ready
        if ready:
            wake()


def _position(line: list[Turn], turn: Turn) -> int:
    """Return where a turn stands: at the end, or before the first new input that waits."""
    if turn.goes_on:
        return next((place for place, other in enumerate(line) if place and not other.goes_on), len(line))
    return len(line)


def _told(line: list[Turn]) -> Asked | None:
    """Return what the first of a line is to be told, because of those behind it."""
    first = line[0]
    for turn in reversed(line):
        is_same_run = turn is first or (turn.run_id is not None and turn.run_id == first.run_id)
        if turn.wants is not None and not is_same_run:
            return turn.wants
    return None


turns = Turns()
