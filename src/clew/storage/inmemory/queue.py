"""Who waits for a thread in memory, what a worker finds to do, and what runs show to readers elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from msgspec.structs import replace

from clew.engine.records import Queued, ThreadKey, Work
from clew.errors import Conflict, ThreadBusy
from clew.storage.base import AddEvents, Begin, LoadEvents
from clew.storage.inmemory.threads import Journals, Thread
from clew.storage.queueing import Enqueue, FindWork, LeaveQueue, ListQueue, StayQueued


def enqueue(journals: Journals, operation: Enqueue) -> bool:
    place = operation.place
    if _thread_of(journals, place.id) or any(place.id in thread.runs for thread in journals.threads.values()):
        return False
    journals.made(place.thread, place.created_s).queue[place.id] = place
    return True


def stay_queued(journals: Journals, operation: StayQueued) -> bool:
    thread = _thread_of(journals, operation.id)
    if thread is None:
        return False
    thread.queue[operation.id] = replace(thread.queue[operation.id], until_s=operation.until_s)
    return True


def leave_queue(journals: Journals, operation: LeaveQueue) -> bool:
    thread = _thread_of(journals, operation.id)
    return thread is not None and thread.queue.pop(operation.id, None) is not None


def list_queue(journals: Journals, operation: ListQueue) -> list[Queued]:
    thread = journals.threads.get(operation.thread)
    places = thread.queue.values() if thread else ()
    if operation.id is not None:
        return [place for place in places if place.id == operation.id]
    if operation.due_s is not None:
        return list(islice((p for p in places if p.owner is None and p.due_s <= operation.due_s), 1))
    return list(places)


def _thread_of(journals: Journals, place_id: str) -> Thread | None:
    return next((thread for thread in journals.threads.values() if place_id in thread.queue), None)


def check_place(thread: Thread, operation: Begin) -> None:
    """Refuse a run whose place is gone, or a new one before which somebody else comes.

    Raises:
        ThreadBusy: somebody else comes before.
        Conflict: the place is gone.
    """
    if operation.head is None or operation.head.id != operation.run.id:
        served = None if operation.queued is None else thread.queue.get(operation.queued)
        for place in thread.queue.values():
            if served is not None and (place is served or _is_of_one_caller(place, served, operation.now_s)):
                break
            if place.owner != operation.owner and _counts(place, operation.now_s, operation.evicts):
                key = operation.thread
                raise ThreadBusy(f"others wait for thread {key.thread_id!r} of {key.workflow!r}", place.owner or "")
    if operation.queued is not None and operation.queued not in thread.queue:
        raise Conflict(f"place {operation.queued} in the queue of thread {operation.thread.thread_id!r} is gone")


def _is_of_one_caller(place: Queued, served: Queued, now_s: float) -> bool:
    """Say whether a caller's place gives its rank to another of the same process."""
    return place.owner is not None and place.owner == served.owner and place.until_s > now_s


def leave_with(thread: Thread, operation: Begin) -> None:
    """Remove the place that a run serves, and those of callers that are gone."""
    if operation.queued is not None:
        del thread.queue[operation.queued]
        gone = [
            place.id
            for place in thread.queue.values()
            if place.owner is not None and not _counts(place, operation.now_s, operation.evicts)
        ]
        for id in gone:
            del thread.queue[id]


def _counts(place: Queued, now_s: float, evicts: Sequence[str] = ()) -> bool:
    """Say whether others have to wait for a place."""
    if place.owner is None:
        return place.due_s <= now_s
    return place.until_s > now_s and place.owner not in evicts


def find_work(journals: Journals, operation: FindWork) -> list[Work]:
    found = [
        work
        for key, thread in journals.threads.items()
        if key.workflow in operation.workflows and (work := _work_on(key, thread, operation))
    ]
    found.sort(key=lambda each: (-each[0], each[1]))
    return [work for _, _, work in found[: operation.limit]]


def _work_on(key: ThreadKey, thread: Thread, operation: FindWork) -> tuple[int, float, Work] | None:
    """Return what there is to do on a thread: (priority, since when it waits, the work)."""
    now_s = operation.now_s
    held, is_running = thread.is_held(now_s), thread.head is not None and thread.head.status == "running"
    if is_running and thread.owner is not None and (not held or thread.owner.startswith(operation.machine)):
        return 0, thread.changed_s, Work(thread=key, owner=thread.owner if held else None, why="crashed")
    if held:
        return None
    if thread.due_s is not None and thread.due_s <= now_s:
        return 0, thread.due_s, Work(thread=key, owner=None, why="due")
    if is_running:
        return None
    first = next((place for place in thread.queue.values() if _counts(place, now_s)), None)
    if first is None or first.owner is not None:
        return None
    work = Work(thread=key, owner=None, why="queued", priority=first.priority)
    return first.priority, max(first.due_s, first.created_s), work


def add_events(journals: Journals, operation: AddEvents) -> None:
    thread = journals.threads.get(operation.lease.thread)
    if thread is None or thread.head is None or thread.head.id == operation.lease.run_id:
        journals.held(operation.lease)
    journals.events.setdefault(operation.lease.run_id, []).extend(operation.events)


def load_events(journals: Journals, operation: LoadEvents) -> list[tuple[int, bytes]]:
    events = journals.events.get(operation.run_id, [])
    return list(enumerate(events, 1))[operation.after :]
