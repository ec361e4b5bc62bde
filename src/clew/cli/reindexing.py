"""`clew reindex`: index all memories of a database anew, as after a change of the embedder."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from clew import Database
from clew.cli.databases import choose_embedder, existing_url, indexed_store, open_database
from clew.cli.indexing import Fields, check_indexed_alike
from clew.cli.screen import Screen, errors_shown
from clew.errors import UsageError


def reindex(
    embed: Annotated[
        str | None,
        typer.Option(
            help="Whose vectors: local, openai:MODEL, PROVIDER:MODEL, or none for words alone; the database's own by "
            "default."
        ),
    ] = None,
    field: Fields = None,
    db: Annotated[
        str | None, typer.Option(help="The database, such as sqlite:///app.db; that of `clew chat` if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Index all memories anew, while searches go on: after a change of the embedder, or of Clew's own rules.

    What has a vector of the same text by the same embedder keeps it. Where the program indexes only parts of its
    memories, name them by --field: without it, this refuses.
    """
    screen = Screen()
    with errors_shown(screen):
        url = existing_url(db)
        with open_database(url) as database:
            choice = choose_embedder(database, embed)
        if choice.problem:
            raise UsageError(f"{choice.problem}; say by --embed whose vectors to make, or none for words alone")
        with open_database(url, embed=choice.embed, fields=field) as database:
            if not field:
                check_indexed_alike(database)
            _reindex(database, screen, as_json)


def _reindex(database: Database, screen: Screen, as_json: bool) -> None:
    store, console = indexed_store(database), Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("Indexing", total=None)
        anew = store.reindex(lambda done, total: progress.update(bar, completed=done, total=total))
    status = store.index_status()
    if as_json:
        screen.json({"items": status.items, "new_vectors": anew, "waiting": status.waiting, "reasons": status.reasons})
    else:
        waiting = f"; {status.waiting} wait: {'; '.join(status.reasons)}" if status.waiting else ""
        screen.note(f"{status.items} memories indexed, {anew} with new vectors{waiting}.")
    if status.waiting:
        raise typer.Exit(1)
