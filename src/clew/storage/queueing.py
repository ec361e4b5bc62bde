"""The contract for the queue of a thread, and for what a worker finds to do. See base."""

from __future__ import annotations

from collections.abc import Sequence

from clew.engine.records import Queued, ThreadKey, Work
from clew.storage.base import Operation


class Enqueue(Operation[bool], frozen=True):
    """Take a place in the queue of a thread, made if it is missing.

    Returns:
        False, and nothing is kept, where there is a run or a place of that id already.
    """

    place: Queued


class StayQueued(Operation[bool], frozen=True):
    """Say that a caller still waits at its place; False if the place is gone."""

    id: str
    until_s: float


class LeaveQueue(Operation[bool], frozen=True):
    """Give a place in a queue up; False if it is gone already."""

    id: str


class ListQueue(Operation[Sequence[Queued]], frozen=True):
    """Read the queue of a thread, first come first.

    Args:
        thread: whose.
        id: only the place of that id, or None.
        due_s: only the first submitted call whose time has come by then, or None.
    """

    thread: ThreadKey
    id: str | None = None
    due_s: float | None = None


class FindWork(Operation[Sequence[Work]], frozen=True, kw_only=True):
    """Find threads on which there is something to do: the highest priority first, then those that wait longest.

    Each thread is reported once, for what comes first: its newest run has crashed, a question's time is over, or the
    first of the places that are waited for (see Begin) is a submitted call. A thread whose newest run is "running" has
    crashed when its lease has run out; it is reported as well when an owner on the caller's machine holds the lease
    (the caller finds out whether that one is dead). One that was handed over has no lease: it is due. Nothing else of
    a thread whose lease is held is reported.

    Args:
        workflows: only threads of these.
        now_s: the clock.
        machine: what the owners on the caller's machine begin with.
        limit: at most so many.
    """

    workflows: Sequence[str]
    now_s: float
    machine: str
    limit: int = 100
