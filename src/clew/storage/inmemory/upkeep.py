"""Deleting, pruning and moving whole threads in memory. What is to go was decided by the caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from clew.engine.records import ThreadKey
from clew.errors import Conflict
from clew.storage.base import DeleteThread
from clew.storage.inmemory.threads import Journals, Thread
from clew.storage.upkeep import (
    ELSEWHERE,
    ForgetDeleted,
    KeepThread,
    ListPieces,
    LoadThread,
    Prune,
    WalkThreads,
    WholeThread,
)


def walk_threads(journals: Journals, operation: WalkThreads) -> list[ThreadKey]:
    after = operation.after
    keys = (key for key, thread in journals.threads.items() if _is_there(thread) and (after is None or key > after))
    return sorted(keys)[: operation.limit]


def delete_thread(journals: Journals, operation: DeleteThread) -> int:
    removed = 0
    for key in [key for key in journals.threads if key.thread_id == operation.thread_id]:
        thread = journals.threads.pop(key)
        removed += len(thread.runs)
        for run_id in thread.runs:
            journals.forget_run(run_id)
        for piece_id in thread.pieces:
            del journals.pieces[piece_id]
        if not operation.entirely:
            journals.threads[key] = Thread(epoch=thread.epoch + 1, changed_s=operation.now_s)
    return removed


def forget_deleted(journals: Journals, operation: ForgetDeleted) -> int:
    gone = [
        key
        for key, thread in journals.threads.items()
        if not _is_there(thread) and thread.owner is None and thread.changed_s < operation.before_s
    ]
    for key in gone:
        del journals.threads[key]
    return len(gone)


def list_pieces(journals: Journals, operation: ListPieces) -> dict[str, str | None]:
    thread = journals.threads.get(operation.thread)
    return {id: journals.pieces[id].before for id in thread.pieces} if thread else {}


def prune(journals: Journals, operation: Prune) -> None:
    key, thread = operation.thread, journals.threads.get(operation.thread)
    if thread is None or thread.head is None or thread.head.version != operation.head.version:
        raise Conflict(f"thread {key.thread_id!r} of {key.workflow!r} was changed by another writer meanwhile")
    for run_id in operation.runs:
        thread.runs.pop(run_id, None)
    for run_id in operation.trimmed:
        thread.runs[run_id] = replace(thread.runs[run_id], input=None)
    for run_id in (*operation.runs, *operation.trimmed):
        journals.forget_run(run_id)
    gone = set(operation.pieces)
    thread.pieces = [id for id in thread.pieces if id not in gone]
    for piece_id in gone:
        journals.pieces.pop(piece_id, None)


def load_thread(journals: Journals, operation: LoadThread) -> WholeThread | None:
    thread = journals.threads.get(operation.thread)
    if thread is None or not _is_there(thread):
        return None
    return WholeThread(
        thread=operation.thread,
        runs=[(run, list(journals.records.get(run.id, {}).values())) for run in thread.runs.values()],
        pieces=[journals.pieces[id] for id in thread.pieces],
        queue=[place for place in thread.queue.values() if place.owner is None],
        due_s=thread.due_s,
    )


def keep_thread(journals: Journals, operation: KeepThread) -> None:
    whole, key = operation.whole, operation.whole.thread
    _refuse_known(journals, whole)
    thread = journals.made(key, operation.now_s)
    thread.epoch += 1
    thread.changed_s, thread.due_s = operation.now_s, whole.due_s
    thread.owner = ELSEWHERE if whole.is_running else None
    thread.runs = {run.id: run for run, _ in whole.runs}
    thread.pieces = [piece.id for piece in whole.pieces]
    thread.queue = {place.id: place for place in whole.queue}
    journals.pieces.update((piece.id, piece) for piece in whole.pieces)
    for run, records in whole.runs:
        journals.records[run.id] = {record.key: record for record in records}


def _refuse_known(journals: Journals, whole: WholeThread) -> None:
    """Raise Conflict if there is such a thread, or anything of it."""
    thread = journals.threads.get(whole.thread)
    if thread is not None and (_is_there(thread) or thread.owner is not None):
        raise Conflict(f"there is a thread {whole.thread.thread_id!r} of {whole.thread.workflow!r} already")
    known = {id for thread in journals.threads.values() for id in (*thread.runs, *thread.queue)}
    for id in [run.id for run, _ in whole.runs] + [place.id for place in whole.queue]:
        if id in known:
            raise Conflict(f"there is a run {id!r} already, on another thread")
    for piece in whole.pieces:
        if piece.id in journals.pieces:
            raise Conflict(f"a piece {piece.id!r} of a saved list is kept already")


def _is_there(thread: Thread) -> bool:
    """Say whether a thread is more than a tombstone."""
    return bool(thread.runs or thread.queue)


WORK: dict[type, Callable[[Journals, Any], Any]] = {
    WalkThreads: walk_threads,
    DeleteThread: delete_thread,
    ForgetDeleted: forget_deleted,
    ListPieces: list_pieces,
    Prune: prune,
    LoadThread: load_thread,
    KeepThread: keep_thread,
}
