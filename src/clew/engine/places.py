"""How many calls of a run may be under way at once, without the deadlocks of a plain semaphore.

A call that calls others lends its place to them: the first child starts on its parent's place, and a child that ends
hands it to a waiting sibling, else back. So every place always serves somebody who can go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Start = Callable[[], None]


class Place:
    """The right of one call to be under way. Made by `Places.request`."""

    __slots__ = ("_places", "lent", "owner", "start", "started", "waiting")

    def __init__(self, places: Places, owner: Place | None, start: Start) -> None:
        self._places = places
        self.owner = owner
        self.start = start
        self.started = False
        self.lent = False
        self.waiting: deque[Place] = deque()

    def release(self) -> Start | None:
        """End the call; return what may start now, if anything."""
        return self._places._release(self)


class Places:
    """A bound on the calls of a run that are under way. The caller brings its own lock.

    Args:
        most: how many, at least 1.
    """

    __slots__ = ("_free", "_waiting")

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: deque[Place] = deque()

    def request(self, parent: Place | None, start: Start) -> tuple[Place, bool]:
        """Ask for a place for a call made by `parent`. `start` is for later, if the answer is no.

        Returns:
            (place, whether the call may start now).
        """
        if parent is not None and not parent.lent:
            parent.lent = True
            place = Place(self, parent, start)
            place.started = True
            return place, True
        place = Place(self, None, start)
        if self._free:
            self._free -= 1
            place.started = True
            return place, True
        self._waiting.append(place)
        if parent is not None:
            parent.waiting.append(place)
        return place, False

    def _release(self, place: Place) -> Start | None:
        if not place.started:
            place.started = True  # it ended without ever having begun; whoever waits skips it
            return None
        owner = place.owner
        if owner is None:
            heir = _next(self._waiting)
            if heir is None:
                self._free += 1
        else:
            heir = _next(owner.waiting)
            if heir is None:
                owner.lent = False
            else:
                heir.owner = owner
        if heir is None:
            return None
        heir.started = True
        return heir.start


def _next(waiting: deque[Place]) -> Place | None:
    while waiting:
        place = waiting.popleft()
        if not place.started:
            return place
    return None
