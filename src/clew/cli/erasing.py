"""`clew erase`: remove everything of somebody, after a look at what that is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from clew import Erased
from clew import erase as erase_subject
from clew.cli.databases import existing_url, open_database
from clew.cli.namespaces import parse_namespace, show_namespace
from clew.cli.progress import shown_progress, thread_count
from clew.cli.pruning import Json, Target
from clew.cli.screen import Screen, errors_shown

_MOST_SHOWN = 20


def erase(
    database: Target,
    subject: Annotated[str, typer.Argument(help="Whose data: a user id, for example. Matched exactly.")],
    key: Annotated[list[str] | None, typer.Option(help="What names it in configs; user_id by default.")] = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option(help="Erase this namespace, such as memories/1, instead of all with the subject as a label."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say only what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove a subject's threads, waiting calls, memories and their old versions, and leave no trace in the files.

    A thread is a subject's if its runs' configs name it, or, where they name nobody, if it is called like it. A
    namespace is a subject's if the subject is one of its labels.
    """
    screen = Screen()
    with errors_shown(screen), open_database(existing_url(database)) as opened:
        keys = key or ["user_id"]
        places = None if namespace is None else [parse_namespace(text) for text in namespace]
        total = thread_count(opened)
        with shown_progress("Looking", total) as progress:
            erased = erase_subject(opened, subject, keys=keys, namespaces=places, dry_run=True, progress=progress)
        if not dry_run:
            if not yes:
                _show(screen, erased, as_note=as_json)
                typer.confirm("Erase this for good?", abort=True, err=True)
            with shown_progress("Erasing", total) as progress:
                erased = erase_subject(opened, subject, keys=keys, namespaces=places, progress=progress)
        if as_json:
            screen.json({"dry_run": dry_run, **asdict(erased)})
        else:
            if dry_run:
                _show(screen, erased)
            screen.note(("Would erase " if dry_run else "Erased ") + _told(erased))


def _show(screen: Screen, erased: Erased, *, as_note: bool = False) -> None:
    """Name what is meant."""
    for kind, names in (
        ("thread", erased.thread_ids),
        ("namespace", [show_namespace(labels) for labels in erased.namespaces]),
    ):
        screen.listing(((kind, name) for name in names[:_MOST_SHOWN]), as_note=as_note)
        if len(names) > _MOST_SHOWN:
            screen.note(f"and {len(names) - _MOST_SHOWN} more {kind}s")


def _told(erased: Erased) -> str:
    return (
        f"{erased.threads} threads with {erased.runs} runs, {erased.queued} waiting calls, "
        f"{erased.items} memories and {erased.versions} old versions."
    )
