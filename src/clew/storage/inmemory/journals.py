"""A checkpointer that lives in this process: dictionaries under one lock. Everything ends with the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from clew.engine.records import Piece, Record, Run, ThreadKey
from clew.errors import Conflict
from clew.storage.base import (
    AddEvents,
    Append,
    Ask,
    Asked,
    Begin,
    Checkpointer,
    End,
    Keep,
    Lease,
    ListRuns,
    ListThreads,
    Load,
    LoadEvents,
    LoadPieces,
    LoadRecords,
    LoadUse,
    Operation,
    Renew,
    Watch,
    removed,
)
from clew.storage.inmemory import limits, queue, threads, upkeep
from clew.storage.inmemory.database import InMemoryDatabase
from clew.storage.inmemory.items_state import apply_writes
from clew.storage.inmemory.threads import Journals, Thread
from clew.storage.opening import Opened, Setup
from clew.storage.queueing import Enqueue, FindWork, LeaveQueue, ListQueue, StayQueued

T = TypeVar("T")


class InMemorySaver(Checkpointer):
    """Keeps threads in memory, for tests and for what need not survive the process.

    Args:
        database: shared with an InMemoryStore whose memories are to be committed together with tasks, or None.
    """

    database: InMemoryDatabase

    def __init__(self, database: InMemoryDatabase | None = None) -> None:
        self.database = database or InMemoryDatabase()
        self._journals = Journals()
        self.database.rooms["runs"] = self._find_run  # for a store that is asked for memory as of a checkpoint

    @classmethod
    def from_conn_string(cls, where: str = ":memory:") -> Opened[InMemorySaver]:
        """Make one for the length of a `with` or `async with` block.

        Args:
            where: passed over; for code that passes a path to any saver.
        """
        return Opened(cls)

    def setup(self) -> Setup:
        """Do nothing. May be awaited, and called at any time."""
        return Setup()

    def execute(self, operation: Operation[T]) -> T:
        kind = type(operation)
        with self.database.transaction():
            result: T = _BESIDE[kind](self._journals, operation) if kind in _BESIDE else _WORK[kind](self, operation)
            return result

    async def aexecute(self, operation: Operation[T]) -> T:
        return self.execute(operation)

    def close(self) -> None:
        """Do nothing: the memory goes with the object."""

    def _thread(self, thread: ThreadKey) -> Thread | None:
        return self._journals.threads.get(thread)

    def _find_run(self, run_id: str) -> Run | None:
        return next((thread.runs[run_id] for thread in self._journals.threads.values() if run_id in thread.runs), None)

    def _load(self, operation: Load) -> Run | None:
        thread = self._thread(operation.thread)
        if thread is None:
            return None
        return thread.head if operation.run_id is None else thread.runs.get(operation.run_id)

    def _list_runs(self, operation: ListRuns) -> list[Run]:
        thread = self._thread(operation.thread)
        runs = list(reversed(thread.runs.values())) if thread else []
        if operation.before is not None:
            runs = [run for run in runs if run.number < operation.before]
        return runs[: operation.limit]

    def _load_records(self, operation: LoadRecords) -> list[Record]:
        records = self._journals.records.get(operation.run_id, {}).values()
        return [record for record in records if operation.name in (None, record.name)]

    def _load_pieces(self, operation: LoadPieces) -> list[Piece]:
        chain: list[Piece] = []
        last: str | None = operation.last
        while last is not None and (piece := self._journals.pieces.get(last)) is not None:
            chain.append(piece)
            last = piece.before
        return chain[::-1]

    def _list_threads(self, operation: ListThreads) -> list[ThreadKey]:
        threads = [
            (thread.changed_s, key)
            for key, thread in self._journals.threads.items()
            if thread.runs and operation.workflow in (None, key.workflow)
        ]
        return [key for _, key in sorted(threads, key=lambda entry: -entry[0])][: operation.limit]

    def _begin(self, operation: Begin) -> Lease:
        thread = self._journals.claimed(operation.thread, operation.head, operation.now_s, operation.evicts)
        run = operation.run
        if run.id not in thread.runs:
            _check_given(thread, operation.thread, run)
        queue.check_place(thread, operation)
        limits.check_limit(self._journals, operation)
        queue.leave_with(thread, operation)
        thread.runs[run.id] = run
        records = self._journals.records.setdefault(run.id, {})
        for record in operation.records:
            records.pop(record.key, None)
        records.update((record.key, record) for record in operation.records)
        thread.epoch += 1
        thread.owner, thread.until_s, thread.changed_s = operation.owner, operation.until_s, operation.now_s
        thread.due_s = None
        if not (operation.takes_over and thread.asked == "cancel"):
            thread.asked = None
        return Lease(operation.thread, run.id, thread.epoch)

    def _append(self, operation: Append) -> Asked | None:
        lease = operation.lease
        thread = self._journals.held(lease)
        kept = self._journals.records[lease.run_id]
        for record in operation.records:
            if record.key in kept and record.key not in operation.replaces:
                raise Conflict(f"call {record.key!r} of run {lease.run_id} was recorded by another writer")
        self._check_pieces(operation.pieces)
        also = [(self._thread_for(nested), nested) for nested in operation.also]
        if operation.writes:
            apply_writes(self.database, operation.writes)
        for key in operation.replaces:
            kept.pop(key, None)
        self._keep_pieces(thread, operation.pieces)
        kept.update((record.key, record) for record in operation.records)
        for nested_thread, nested in also:
            self._keep_as_head(nested_thread, nested.run, nested.pieces)
        if operation.end is None:
            return thread.asked
        self._end(thread, kept, lease.run_id, operation.end)
        return None

    def _end(self, thread: Thread, kept: dict[str, Record], run_id: str, end: End) -> None:
        thread.give_back(end.ended_s, end.due_s)
        if end.removes:
            del thread.runs[run_id]
            self._journals.forget_run(run_id)
            return
        for key in kept.keys() & end.reopened:
            kept[key] = replace(kept[key], state="reopened")
        thread.runs[run_id] = replace(
            thread.runs[run_id], status=end.status, value=end.value, saved=end.saved, error=end.error,
            questions=end.questions, ended_s=end.ended_s,
        )  # fmt: skip

    def _keep(self, operation: Keep) -> Run:
        return self._keep_as_head(self._thread_for(operation), operation.run, operation.pieces)

    def _thread_for(self, operation: Keep) -> Thread:
        key, now_s = operation.thread, operation.now_s
        if operation.regardless:
            thread = self._journals.made(key, now_s)
        else:
            thread = self._journals.claimed(key, operation.head, now_s, operation.evicts)
        _check_given(thread, key, operation.run)
        self._check_pieces(operation.pieces)
        return thread

    def _keep_as_head(self, thread: Thread, run: Run, pieces: Sequence[Piece]) -> Run:
        self._keep_pieces(thread, pieces)
        run = replace(run, number=thread.head.number + 1 if thread.head else 0)
        thread.runs[run.id] = run
        thread.epoch += 1
        thread.asked = None
        thread.give_back(run.created_s)
        return run

    def _check_pieces(self, pieces: Sequence[Piece]) -> None:
        added = {piece.id for piece in pieces}
        for piece in pieces:
            if piece.before is not None and piece.before not in added and piece.before not in self._journals.pieces:
                raise Conflict(f"piece {piece.before!r} of a saved list, which {piece.id!r} follows, was removed")

    def _keep_pieces(self, thread: Thread, pieces: Sequence[Piece]) -> None:
        thread.pieces += [piece.id for piece in pieces]
        self._journals.pieces.update((piece.id, piece) for piece in pieces)


def _check_given(thread: Thread, key: ThreadKey, run: Run) -> None:
    """Refuse a new run if what it was given as `previous` was removed meanwhile.

    Raises:
        Conflict: it was.
    """
    if run.previous is not None and run.previous not in thread.runs:
        raise removed(key, run)


_WORK: dict[type, Callable[[InMemorySaver, Any], Any]] = {
    Load: InMemorySaver._load,
    ListRuns: InMemorySaver._list_runs,
    LoadRecords: InMemorySaver._load_records,
    LoadPieces: InMemorySaver._load_pieces,
    ListThreads: InMemorySaver._list_threads,
    Begin: InMemorySaver._begin,
    Append: InMemorySaver._append,
    Keep: InMemorySaver._keep,
}

_BESIDE: dict[type, Callable[[Journals, Any], Any]] = {
    Renew: threads.renew,
    Watch: threads.watch,
    Ask: threads.ask,
    Enqueue: queue.enqueue,
    StayQueued: queue.stay_queued,
    LeaveQueue: queue.leave_queue,
    ListQueue: queue.list_queue,
    FindWork: queue.find_work,
    LoadUse: limits.load_use,
    AddEvents: queue.add_events,
    LoadEvents: queue.load_events,
    **upkeep.WORK,
}
