"""The procedure by which a running body reads and writes memory; see `memory` for what it promises."""

from __future__ import annotations

import time
from collections.abc import Sequence

from clew.codec.fingerprint import describe, fingerprint
from clew.engine.identity import READ, WRITE
from clew.runner.frame import Frame
from clew.runner.io import RunnerIO
from clew.runner.keeping import keep, record_of
from clew.store.base import BaseStore
from clew.store.operations import Op, PutOp, Result


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
    return await io.remember(store, reads, frame.pending(store))


async def _write_in_task(io: RunnerIO, frame: Frame, store: BaseStore, writes: Sequence[PutOp]) -> None:
    frame.writes.append((store, list(await io.prepare(store, writes))))


async def _read_in_body(io: RunnerIO, frame: Frame, store: BaseStore, reads: Sequence[Op]) -> list[Result]:
    execution = frame.call.execution
    if execution.journal is None:
        return await io.remember(store, reads, ())
    digest = fingerprint(tuple(reads), {})
    key = frame.next_key(READ, lambda: digest)
    if record := execution.journal.find(key, digest, lambda: _shown(reads)):
        found: list[Result] = execution.value_of(record)
        return found
    execution.check_new(key)
    now_s = time.time()
    found = await io.remember(store, reads, ())
    await keep(io, execution, [record_of(execution, key, READ, digest, _shown(reads), found, now_s)])
    return found


async def _write_in_body(io: RunnerIO, frame: Frame, store: BaseStore, writes: Sequence[PutOp]) -> None:
    execution = frame.call.execution
    if execution.journal is None:
        await io.remember(store, writes, ())
        return
    digest = fingerprint(tuple(writes), {})
    key = frame.next_key(WRITE, lambda: digest)
    if execution.journal.find(key, digest, lambda: _shown(writes)):
        return
    execution.check_new(key)
    record = record_of(execution, key, WRITE, digest, _shown(writes), None, time.time())
    await keep(io, execution, [record], [(store, await io.prepare(store, writes))])


def _shown(ops: Sequence[Op]) -> str:
    return describe(tuple(ops), {})
