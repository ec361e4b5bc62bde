"""`clew threads`, `clew runs` and `clew show`: what is kept, seen without the code of the workflows."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import msgspec
import typer

from clew import Database
from clew.cli.databases import existing_url, open_database
from clew.cli.items import show_rows
from clew.cli.pruning import Json, Target
from clew.cli.screen import Screen, errors_shown
from clew.cli.trees import RUN_COLUMNS, THREAD_COLUMNS, run_row, thread_row, tree_of
from clew.looking import list_runs, list_threads, show_run

Thread = Annotated[str, typer.Argument(metavar="THREAD", help="The thread's id.")]
Workflow = Annotated[str | None, typer.Option(help="Only of this workflow.")]
Limit = Annotated[int, typer.Option(min=1, help="The most to show.")]


def threads(database: Target, workflow: Workflow = None, limit: Limit = 20, as_json: Json = False) -> None:
    """List threads: how the newest run of each stands, when that changed, and what waits.

    Those changed last come first, and before them those on which nothing has run yet.
    """
    with _reading(database) as (opened, screen):
        found = list_threads(opened, workflow=workflow, limit=limit + 1)
        shown = found[:limit]
        show_rows(screen, msgspec.to_builtins(shown) if as_json else None, THREAD_COLUMNS, map(thread_row, shown))
        _tell_of_more(screen, len(found) > limit)


def runs(database: Target, thread: Thread, workflow: Workflow = None, limit: Limit = 20, as_json: Json = False) -> None:
    """List the runs of a thread, the newest first. `clew show` tells more of each."""
    with _reading(database) as (opened, screen):
        found = list_runs(opened, thread, workflow=workflow, limit=limit + 1)
        shown = found[:limit]
        show_rows(screen, msgspec.to_builtins(shown) if as_json else None, RUN_COLUMNS, map(run_row, shown))
        _tell_of_more(screen, len(found) > limit)


def show(
    database: Target,
    thread: Thread,
    run: Annotated[str | None, typer.Option(metavar="ID", help="Which run; the newest if not given.")] = None,
    workflow: Workflow = None,
    as_json: Json = False,
) -> None:
    """Show a run as a tree of its calls: arguments, outcomes, times, attempts, and the questions that wait.

    No code is imported. A value of a class is shown with the name of the class.
    """
    with _reading(database) as (opened, screen):
        tree = show_run(opened, thread, run_id=run, workflow=workflow)
        if as_json:
            screen.json(msgspec.to_builtins(tree))
        else:
            screen.tree(tree_of(tree))


@contextmanager
def _reading(url: str) -> Generator[tuple[Database, Screen]]:
    """Open a database that is there, and show errors."""
    screen = Screen()
    with errors_shown(screen), open_database(existing_url(url)) as database:
        yield database, screen


def _tell_of_more(screen: Screen, there_is: bool) -> None:
    if there_is:
        screen.note("There are more: raise --limit")
