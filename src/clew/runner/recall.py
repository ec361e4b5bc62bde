"""The procedure by which a running body reads and writes memory; see `memory` for what it promises."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from clew.codec.fingerprint import describe, fingerprint
from clew.codec.values import decode
from clew.engine.activities import WatchedMemory
from clew.engine.identity import READ, WRITE
from clew.errors import UsageError
from clew.runner import watching
from clew.runner.frame import Frame
from clew.runner.io import RunnerIO
from clew.runner.keeping import keep, record_of
from clew.store.base import BaseStore
from clew.store.operations import GetOp, HistoryOp, ListNamespacesOp, Op, PutOp, Result, SearchOp, SeenBy, Writer

if TYPE_CHECKING:
    from clew.store.planning import PreparedWrite

_KINDS: dict[type, str] = {
    GetOp: "get", SearchOp: "search", HistoryOp: "history", ListNamespacesOp: "list_namespaces",
}  # fmt: skip


async def use_store(io: RunnerIO, frame: Frame, store: BaseStore, ops: Sequence[Op]) -> list[Result]:
    """Carry out operations for the body of a frame, one result for each."""
    writes = [op for op in ops if isinstance(op, PutOp)]
    reads = [op for op in ops if not isinstance(op, PutOp)]
    in_task = not frame.call.is_workflow
    found = iter(await (_read_in_task if in_task else _read_in_body)(io, frame, store, reads) if reads else [])
    if writes:
        await (_write_in_task if in_task else _write_in_body)(io, frame, store, writes)
    return [None if isinstance(op, PutOp) else next(found) for op in ops]


async def _read_in_task(io: RunnerIO, frame: Frame, store: BaseStore, reads: Sequence[Op]) -> list[Result]:
    return await _found(io, store, _as_wanted(frame, reads), frame.pending(store))


async def _write_in_task(io: RunnerIO, frame: Frame, store: BaseStore, writes: Sequence[PutOp]) -> None:
    prepared = await _prepared(io, frame, store, writes)
    waiting = frame.writes
    if waiting is None and frame.is_recorded:  # who writes was left behind by a task that has ended
        await io.apply(store, prepared)
        return
    if waiting is not None:
        waiting.append((store, prepared))
    if frame.writes is None:  # what comes as they are taken may not be among them
        raise UsageError(
            f"task {frame.call.callee.name!r} has ended or failed before this was written to memory: let a task wait "
            "for the OS threads and asyncio tasks that write for it"
        )


async def _found(io: RunnerIO, store: BaseStore, reads: Sequence[Op], pending: Sequence[PreparedWrite]) -> list[Result]:
    """Carry out reads."""
    if watching.observer is None:
        return await io.remember(store, reads, pending)
    with watching.watched(_activity(reads)) as seen:
        results = await io.remember(store, reads, pending)
        seen.found = sum(len(result) if isinstance(result, list) else result is not None for result in results)
        return results


def _activity(ops: Sequence[Op]) -> WatchedMemory:
    kinds = {_kind(op) for op in ops}
    # Nobody has looked at them yet: they may be anything.
    named = [op.namespace_prefix if isinstance(op, SearchOp) else getattr(op, "namespace", ()) for op in ops]
    shown = {tuple(map(str, namespace)): None for namespace in named if isinstance(namespace, tuple | list)}
    queries = [op.query for op in ops if isinstance(op, SearchOp) and op.query is not None]
    return WatchedMemory(
        operation=kinds.pop() if len(kinds) == 1 else "batch", namespaces=[labels for labels in shown if labels],
        size=len(ops), query=queries[0] if queries else None,
    )  # fmt: skip


def _kind(op: Op) -> str:
    if isinstance(op, PutOp):
        return "delete" if op.value is None else "put"
    return _KINDS[type(op)]


async def _prepared(io: RunnerIO, frame: Frame, store: BaseStore, writes: Sequence[PutOp]) -> list[PreparedWrite]:
    """Prepare writes that say which run they are of."""
    if watching.observer is None:
        return await _prepared_for_run(io, frame, store, writes)
    with watching.watched(_activity(writes)):
        return await _prepared_for_run(io, frame, store, writes)


async def _prepared_for_run(
    io: RunnerIO, frame: Frame, store: BaseStore, writes: Sequence[PutOp]
) -> list[PreparedWrite]:
    execution = frame.call.execution
    thread_id = execution.lease.thread.thread_id if execution.lease else None
    writer = Writer(run_id=execution.run_id, thread_id=thread_id)
    return [replace(write, writer=writer) for write in await io.prepare(store, writes)]


async def _read_in_body(io: RunnerIO, frame: Frame, store: BaseStore, reads: Sequence[Op]) -> list[Result]:
    execution = frame.call.execution
    if execution.journal is None:
        return await _found(io, store, _as_wanted(frame, reads), ())
    digest = fingerprint(tuple(reads), {})
    key = frame.next_key(READ, tuple(reads), {})
    if record := execution.journal.find(key, digest, lambda: _shown(reads)):
        found: list[Result] = execution.value_of(record)
        return found
    execution.check_new(key)
    now_s = time.time()
    found = await _found(io, store, _as_wanted(frame, reads), ())
    await keep(io, execution, [record_of(execution, key, READ, digest, _shown(reads), found, now_s)])
    return found


async def _write_in_body(io: RunnerIO, frame: Frame, store: BaseStore, writes: Sequence[PutOp]) -> None:
    execution = frame.call.execution
    if execution.journal is None:
        await io.apply(store, await _prepared(io, frame, store, writes))
        return
    digest = fingerprint(tuple(writes), {})
    key = frame.next_key(WRITE, tuple(writes), {})
    if execution.journal.find(key, digest, lambda: _shown(writes)):
        return
    execution.check_new(key)
    record = record_of(execution, key, WRITE, digest, _shown(writes), None, time.time())
    await keep(io, execution, [record], [(store, await _prepared(io, frame, store, writes))])


def _as_wanted(frame: Frame, reads: Sequence[Op]) -> Sequence[Op]:
    """Let reads look back if their run is to see memory as it was."""
    execution = frame.call.execution
    if execution.run is None:
        if "memory_as_of" in (frame.call.scope.config.get("configurable") or {}):
            raise UsageError("memory_as_of needs a checkpointer: without one there is no checkpoint to look back to")
        return reads
    wanted = _memory_as_of(execution.run.metadata)
    if wanted == "checkpoint":
        wanted = execution.run.parent
    if wanted is None:
        return reads
    then = SeenBy(wanted, execution.run_id)
    return [op._replace(as_of=then) if isinstance(op, GetOp | SearchOp) and op.as_of is None else op for op in reads]


@lru_cache(maxsize=256)
def _memory_as_of(metadata: bytes) -> str | None:
    """Read from a run's metadata when it wants memory to be as it was; it is the same for all its life."""
    wanted = decode(metadata).get("configurable", {}).get("memory_as_of") if metadata else None
    return wanted if isinstance(wanted, str) else None


def _shown(ops: Sequence[Op]) -> str:
    """Show what was said of each operation, for people."""
    return "; ".join(f"{type(op).__name__}: {describe((), _said(op))}" for op in ops)


def _said(op: Op) -> dict[str, Any]:
    defaults = op._field_defaults
    return {name: value for name, value in op._asdict().items() if name not in defaults or value != defaults[name]}
