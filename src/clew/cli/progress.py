"""How far a command has come: a bar on standard error, where a terminal is at its other end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

from clew import Database
from clew.storage.upkeep import WalkThreads

_PAGE = 1000


@contextmanager
def shown_progress(what: str, total: int | None) -> Generator[Callable[[int], None]]:
    """Show a bar for the length of a block, and give what moves it on.

    Args:
        what: is done.
        total: how many steps there are; None where nobody knows.
    """
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task(what, total=total)
        yield lambda done: progress.update(bar, completed=done)


def thread_count(database: Database) -> int:
    """Count the threads of a database."""
    count, after = 0, None
    while page := database.checkpointer.execute(WalkThreads(after, _PAGE)):
        count, after = count + len(page), page[-1]
    return count
