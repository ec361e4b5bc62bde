"""The procedures by which threads and memories leave one database and get into another, line by line."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from clew.codec.encryption import SEALED
from clew.engine.records import ThreadKey
from clew.errors import Conflict, InvalidExport, UnreadableRecord
from clew.runner import lines
from clew.runner.io import RunnerIO
from clew.runner.lines import End, Header, Line, MemoryLine, ThreadLine, ThreadParts
from clew.runner.pruning import walk
from clew.storage.base import Checkpointer, ListRuns
from clew.storage.queueing import ListQueue
from clew.storage.upkeep import KeepThread, LoadThread, WholeThread
from clew.store.moving import Memory, indexed_here
from clew.store.sealing import is_sealed
from clew.store.transactional import TransactionalStore

_PAGE = 100


@dataclass(slots=True, kw_only=True)
class Moved:
    """What was taken in.

    Args:
        threads: how many.
        runs: on them.
        memories: how many keys, with their old versions.
        skipped: threads and memories that were there already.
    """

    threads: int = 0
    runs: int = 0
    memories: int = 0
    skipped: int = 0


async def give(
    io: RunnerIO, saver: Checkpointer, store: TransactionalStore[Any], *, threads: bool, memories: bool
) -> AsyncGenerator[bytes]:
    """Give everything that is kept as lines; no more than a thread, or a page of memories, is held at once.

    Each thread is given as it is at one moment.

    Raises:
        UnreadableRecord: it is encrypted, and was opened without the keys.
    """
    end = End(threads=0, memories=0)
    yield lines.written(Header(format=lines.FORMAT, version=lines.VERSION))
    if threads:
        async for thread in walk(io, saver):
            whole = await io.keep(saver, LoadThread(thread))
            if whole is None:
                continue  # deleted meanwhile
            _refuse_sealed(whole)
            end = End(threads=end.threads + 1, memories=0)
            for line in lines.of_thread(whole):
                yield lines.written(line)
    if memories:
        for past in (False, True):
            async for memory in _memories(io, store, past=past):
                _refuse_sealed_memory(memory)
                end = End(threads=end.threads, memories=end.memories + 1)
                yield lines.written(lines.of_memory(memory))
    yield lines.written(end)


async def _memories(io: RunnerIO, store: TransactionalStore[Any], *, past: bool) -> AsyncIterator[Memory]:
    after = -1
    while page := await _page(io, store, after, past=past):
        for memory in page:
            yield memory
        after = page[-1].order


async def _page(io: RunnerIO, store: TransactionalStore[Any], after: int, *, past: bool) -> list[Memory]:
    return await io.with_keeper(store, "read", lambda keeper, state: keeper.memories(state, after, _PAGE, past=past))


def _refuse_sealed(whole: WholeThread) -> None:
    if any(run.metadata.startswith(SEALED) for run, _ in whole.runs):
        raise _encrypted(f"thread {whole.thread.thread_id!r}")


def _refuse_sealed_memory(memory: Memory) -> None:
    values: list[bytes | str | None] = [version.value for version in memory.versions]
    if memory.item is not None:
        values.append(memory.item.write.value)
    if any(is_sealed(value) for value in values):
        raise _encrypted(f"memory {memory.key!r} of {memory.namespace!r}")


def _encrypted(what: str) -> UnreadableRecord:
    return UnreadableRecord(f"{what} is encrypted: open the database with its encryption keys to export it")


@dataclass(slots=True, kw_only=True)
class _Taking:
    """How far a file has been read.

    Args:
        skip: whether what is there already is left out.
        seen: called with the number of each line.
        total: what was taken in.
        thread: the thread whose lines are being read, or None.
        memories: read, and not yet taken in.
        found: what the file has held so far.
    """

    skip: bool
    seen: Callable[[int], object] | None
    total: Moved = field(default_factory=Moved)
    thread: ThreadParts | None = None
    memories: list[Memory] = field(default_factory=list)
    found: End = field(default_factory=lambda: End(threads=0, memories=0))


async def take(
    io: RunnerIO,
    saver: Checkpointer,
    store: TransactionalStore[Any],
    source: AsyncIterator[str | bytes],
    *,
    skip_existing: bool,
    seen: Callable[[int], object] | None = None,
) -> Moved:
    """Take in what `give` gave. Each thread, and each page of memories, is kept whole or not at all.

    Args:
        io: the verbs.
        saver: where threads are kept.
        store: where memories are kept.
        source: the lines.
        skip_existing: whether what is there already stays as it is, rather than being a Conflict.
        seen: called with the number of each line.

    Raises:
        InvalidExport: a line is damaged or missing. What came before is kept.
        Conflict: a thread or a memory is there already. What came before is kept.
    """
    taking = _Taking(skip=skip_existing, seen=seen)
    number, is_over = 0, False
    async for text in source:
        number += 1
        if not text.strip():
            continue
        if is_over:
            raise InvalidExport(f"line {number}: the export ended before it")
        is_over = await _take_line(io, saver, store, taking, text, number)
        if seen is not None:
            seen(number)
    if not is_over:
        await _take_memories(io, store, taking, number)
        raise InvalidExport(f"the file ends after line {number}, before the export does: it was cut off")
    return taking.total


async def _take_line(
    io: RunnerIO, saver: Checkpointer, store: TransactionalStore[Any], taking: _Taking, text: str | bytes, number: int
) -> bool:
    """Take in a line, and say whether it was the last."""
    line = _first(text) if number == 1 else lines.read(text, number)
    if taking.thread is not None:
        taking.thread.add(line, number)
        await _end_thread(io, saver, taking, number)
        return False
    match line:
        case Header() if number == 1:
            pass
        case ThreadLine():
            taking.thread = ThreadParts(line, number)
            taking.found = End(threads=taking.found.threads + 1, memories=taking.found.memories)
            await _end_thread(io, saver, taking, number)
        case MemoryLine():
            taking.memories.append(lines.memory_of(line, number))
            taking.found = End(threads=taking.found.threads, memories=taking.found.memories + 1)
            if len(taking.memories) == _PAGE:
                await _take_memories(io, store, taking, number)
        case End():
            await _take_memories(io, store, taking, number)
            if line != taking.found:
                raise InvalidExport(f"line {number} counts {_told(line)}, but there were {_told(taking.found)}")
            return True
        case _:
            raise InvalidExport(f"line {number} belongs to a thread, and none begins before it")
    return False


def _first(text: str | bytes) -> Line:
    """Read the line that names the format.

    Raises:
        InvalidExport: it is another format, or a later version of it.
    """
    try:
        header = lines.read(text, 1)
    except InvalidExport as error:
        raise InvalidExport(f"this is no export of clew: {error}") from error
    if not isinstance(header, Header) or header.format != lines.FORMAT:
        raise InvalidExport("this is no export of clew: line 1 does not say so")
    if header.version > lines.VERSION:
        raise InvalidExport(f"a newer clew made this export (version {header.version}): upgrade clew here")
    return header


async def _end_thread(io: RunnerIO, saver: Checkpointer, taking: _Taking, number: int) -> None:
    """Keep a thread if this line was its last."""
    if taking.thread is None or not taking.thread.is_whole_at(number):
        return
    whole = taking.thread.whole()
    taking.thread = None
    try:
        await io.keep(saver, KeepThread(whole, time.time()))
    except Conflict as error:
        if taking.skip and await _is_there(io, saver, whole.thread):
            taking.total.skipped += 1
            return
        raise Conflict(f"the thread that ends with line {number} was not imported: {error}") from error
    except OverflowError as error:
        raise InvalidExport(f"the thread that ends with line {number} has too large a number: {error}") from error
    taking.total.threads += 1
    taking.total.runs += len(whole.runs)


async def _is_there(io: RunnerIO, saver: Checkpointer, thread: ThreadKey) -> bool:
    runs = await io.keep(saver, ListRuns(thread, limit=1))
    queue = await io.keep(saver, ListQueue(thread))
    return bool(runs or queue)


async def _take_memories(io: RunnerIO, store: TransactionalStore[Any], taking: _Taking, number: int) -> None:
    page = [indexed_here(memory, store.settings) for memory in taking.memories]
    taking.memories = []
    try:
        taken = await io.with_keeper(
            store, "write", lambda keeper, state: keeper.take_in(state, page, skip=taking.skip)
        )
    except OverflowError as error:
        raise InvalidExport(f"one of the memories up to line {number} has too large a number: {error}") from error
    taking.total.memories += taken
    taking.total.skipped += len(page) - taken


def _told(end: End) -> str:
    return f"{end.threads} threads and {end.memories} memories"
