"""Move threads and memories between databases of any kind, as lines of JSON."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

from clew.database import Database
from clew.errors import InvalidOption
from clew.runner import moving
from clew.runner.async_io import ON_LOOP, run_awaited
from clew.runner.io import each_blocking, run_blocking
from clew.runner.moving import Moved
from clew.runner.sync_io import BLOCKING
from clew.upkeep import Progress, movable

__all__ = ["Moved", "aexport_lines", "aimport_lines", "export_lines", "import_lines"]


def export_lines(database: Database, *, threads: bool = True, memories: bool = True) -> Iterator[bytes]:
    """Give everything that a database keeps as lines of JSON, for a file that `import_lines` reads.

    Threads come with all their runs, journals and calls that wait; memories with their old versions, times, vectors
    and times to live. No more than one thread, or a page of memories, is held at once.

    Args:
        database: what is exported. Each thread is given as it is at one moment; what others write meanwhile may be
            missing.
        threads: whether threads are wanted.
        memories: whether memories are wanted.

    Raises:
        InvalidOption: neither is wanted.
        UnreadableRecord: it is encrypted, and was opened without the keys. With them, lines are plain text.
    """
    _check(threads, memories)
    saver = database.checkpointer
    yield from each_blocking(moving.give(BLOCKING, saver, movable(database), threads=threads, memories=memories))


async def aexport_lines(database: Database, *, threads: bool = True, memories: bool = True) -> AsyncIterator[bytes]:
    """Like `export_lines`, for async code."""
    _check(threads, memories)
    io, saver = ON_LOOP, database.checkpointer
    async for line in moving.give(io, saver, movable(database), threads=threads, memories=memories):
        yield line


def import_lines(
    database: Database,
    lines: Iterable[str | bytes],
    *,
    skip_existing: bool = False,
    progress: Progress | None = None,
) -> Moved:
    """Take in what `export_lines` gave, from a database of any kind.

    Each thread is kept whole or not at all; memories are kept a hundred at once. They are indexed as this database
    indexes them: vectors are taken along where its embedder is the one that made them, and made anew where it is not.
    A run that was under way counts as crashed.

    Args:
        database: where to.
        lines: of a file, such as `open("export.jsonl", "rb")`.
        skip_existing: leave threads and memories out that are there already; without it they are a Conflict.
        progress: called with the number of each line that was read.

    Raises:
        InvalidExport: a line is damaged or missing; what came before it is kept.
        Conflict: a thread or a memory is there already; what came before it is kept.
    """

    async def one_by_one() -> AsyncIterator[str | bytes]:
        for line in lines:
            yield line

    store = movable(database)
    moved = run_blocking(
        moving.take(
            BLOCKING, database.checkpointer, store, one_by_one(), skip_existing=skip_existing, seen=progress
        )
    )  # fmt: skip
    store.embed_waiting()
    return moved


async def aimport_lines(
    database: Database,
    lines: AsyncIterable[str | bytes],
    *,
    skip_existing: bool = False,
    progress: Progress | None = None,
) -> Moved:
    """Like `import_lines`, for async code."""
    store = movable(database)
    saver = database.checkpointer
    procedure = moving.take(ON_LOOP, saver, store, aiter(lines), skip_existing=skip_existing, seen=progress)
    moved = await run_awaited(procedure)
    await store.aembed_waiting()
    return moved


def _check(threads: bool, memories: bool) -> None:
    if not (threads or memories):
        raise InvalidOption("neither threads nor memories are wanted, so there is nothing to export")
