"""`clew export` and `clew import`: a database as lines of JSON, and back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from clew import export_lines, import_lines
from clew.cli.databases import existing_url, indexed_store, kept_url, open_database
from clew.cli.progress import shown_progress, thread_count
from clew.cli.pruning import Json, Target
from clew.cli.screen import WRONGLY_ASKED, Screen, errors_shown
from clew.errors import Unavailable, UsageError


def export_(
    database: Target,
    threads: Annotated[bool, typer.Option("--threads", help="Only threads.")] = False,
    memories: Annotated[bool, typer.Option("--memories", help="Only memories.")] = False,
) -> None:
    """Write threads and memories to standard output as JSON lines: clew export app.db > app.jsonl

    Each thread is written as it is at one moment. What is encrypted needs its keys, and is written as plain text.
    """
    screen = Screen()
    if sys.stdout.isatty():
        screen.problem("clew: the lines go to standard output; write them to a file: clew export app.db > app.jsonl")
        raise typer.Exit(WRONGLY_ASKED)
    if threads and memories:
        screen.problem("clew: --threads leaves the memories out, and --memories the threads; for both give neither")
        raise typer.Exit(WRONGLY_ASKED)
    with errors_shown(screen), open_database(existing_url(database)) as opened:
        both = threads == memories
        total = (thread_count(opened) if both or threads else 0) + (
            indexed_store(opened).index_status().items if both or memories else 0
        )
        with shown_progress("Exporting", total) as progress, _disk_errors():
            lines = export_lines(opened, threads=both or threads, memories=both or memories)
            sys.stdout.buffer.writelines(_counted(lines, progress))
            sys.stdout.buffer.flush()


def import_(
    file: Annotated[Path, typer.Argument(help="What clew export wrote; - for standard input.")],
    database: Target,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave threads and memories out that are there already.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take in what `clew export` wrote; the database is made if it is not there.

    Each thread is kept whole or not at all. Vectors are taken along; clew reindex makes new ones for another embedder.
    """
    screen = Screen()
    with errors_shown(screen), _disk_errors(), _opened(file) as lines:
        total = None if lines is sys.stdin.buffer else file.stat().st_size
        with open_database(kept_url(database)) as opened, shown_progress("Importing", total) as progress:
            moved = import_lines(opened, _measured(lines, progress), skip_existing=skip_existing)
        if as_json:
            screen.json(asdict(moved))
        else:
            skipped = f"; {moved.skipped} were there already" if moved.skipped else ""
            screen.note(f"Imported {moved.threads} threads with {moved.runs} runs, {moved.memories} memories{skipped}.")


def _counted(lines: Iterable[bytes], progress: Callable[[int], None]) -> Iterable[bytes]:
    """Pass lines on, and count those that begin a thread or are a memory."""
    done = 0
    for line in lines:
        yield line
        if line.startswith((b'{"kind":"thread"', b'{"kind":"memory"')):
            done += 1
            progress(done)


def _measured(lines: BinaryIO, progress: Callable[[int], None]) -> Iterable[bytes]:
    """Pass lines on, and say how many bytes were read."""
    done = 0
    for line in lines:
        yield line
        done += len(line)
        progress(done)


@contextmanager
def _opened(file: Path) -> Generator[BinaryIO]:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    if not file.is_file():
        raise UsageError(f"there is no file {str(file)!r}")
    with file.open("rb") as opened:
        yield opened


@contextmanager
def _disk_errors() -> Generator[None]:
    try:
        yield
    except BrokenPipeError:  # whoever reads has seen enough: typer ends without a word, as other programs do
        raise
    except OSError as error:
        raise Unavailable(f"the lines could not be read or written: {error}") from error
