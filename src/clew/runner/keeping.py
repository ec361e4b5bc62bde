"""The procedure by which outcomes, and the memories that belong to them, are kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from clew.codec.failures import encode_failure
from clew.codec.values import encode
from clew.engine.identity import FAILURE
from clew.engine.records import Piece, Record
from clew.runner.execution import Execution
from clew.runner.io import RunnerIO
from clew.storage.base import Append, Checkpointer, End, Keep

if TYPE_CHECKING:
    from clew.store.base import BaseStore
    from clew.store.planning import PreparedWrite

    Writes = Sequence[tuple[BaseStore, Sequence[PreparedWrite]]]


async def keep(
    io: RunnerIO,
    execution: Execution,
    records: Sequence[Record] = (),
    writes: Writes = (),
    *,
    pieces: Sequence[Piece] = (),
    also: Sequence[Keep] = (),
    end: End | None = None,
) -> None:
    """Keep records with the memories written by them: in one transaction where both live in one database.

    Elsewhere the memories go first and the record second, so that a crash between the two writes them again rather
    than never.

    Raises:
        StorageError: nothing of it was kept.
    """
    together = await _write_elsewhere(io, execution, writes) if writes else []
    saver, lease, journal = execution.saver, execution.lease, execution.journal
    if saver is None or lease is None or journal is None:
        if journal is not None:
            journal.records.update((record.key, record) for record in records)
        return
    if execution.durability != "sync" and not (together or also or end):
        execution.put_off(records)
        return
    if execution.flushing is not None:
        await io.wait(execution.flushing)  # so that what it keeps is known to be kept
    if end is not None and execution.publisher is not None:
        await execution.publisher.flush(io)  # whoever takes the run up may show more from then on
    waiting, replaces = execution.take_waiting(records) if execution.waiting else ([], [])
    for record in records:
        if record.key in journal.records or record.key in execution.stored:
            replaces.append(record.key)
    append = Append(
        lease=lease, records=[*waiting, *records], pieces=pieces, writes=together, replaces=replaces, also=also, end=end
    )
    try:
        told = await io.keep(saver, append)
    except BaseException:  # a cancellation, too, even though a write that has begun is finished
        execution.give_back(waiting)
        execution.stored.update(record.key for record in records)  # nobody knows
        raise
    execution.has_ended = end is not None
    for record in records:
        journal.records[record.key] = record
    if told is not None:
        execution.tell(told)


def record_of(
    execution: Execution, key: str, name: str, digest: bytes, shown: str, value: Any, started_s: float
) -> Record:
    """Make the record of one of the engine's own calls.

    Args:
        execution: the run.
        key: the call's key.
        name: what kind of call it is.
        digest: fingerprint of its arguments.
        shown: the arguments, for people.
        value: what it gave.
        started_s: when it began.
    """
    if execution.saver is None:
        execution.values[key] = value
    outcome = encode(value) if execution.saver is not None else b""
    return Record(
        key=key, name=name, fingerprint=digest, arguments=shown, state="value", outcome=outcome, attempts=1,
        started_s=started_s, ended_s=time.time(),
    )  # fmt: skip


def failure_record(error: BaseException) -> Record:
    """Make the record of what a run raised."""
    now_s = time.time()
    return Record(
        key=FAILURE, name=FAILURE, fingerprint=b"", arguments="", state="failure", outcome=encode_failure(error),
        attempts=1, started_s=now_s, ended_s=now_s,
    )  # fmt: skip


def _in_one_database(saver: Checkpointer, store: BaseStore) -> bool:
    database = getattr(store, "database", None)
    return database is not None and database.identity == saver.database.identity


async def _write_elsewhere(io: RunnerIO, execution: Execution, writes: Writes) -> list[PreparedWrite]:
    """Write what lives in another database; return what is to be committed together with the records."""
    together: list[PreparedWrite] = []
    for store, prepared in writes:
        if execution.saver is not None and _in_one_database(execution.saver, store):
            together += prepared
        else:
            await io.apply(store, prepared)
    return together
