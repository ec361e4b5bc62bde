"""`clew prune`: remove old runs, while workflows go on."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from clew import Pruned
from clew import prune as prune_threads
from clew.cli.databases import existing_url, open_database
from clew.cli.progress import shown_progress, thread_count
from clew.cli.screen import Screen, errors_shown
from clew.errors import UsageError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
Target = Annotated[str, typer.Argument(metavar="DATABASE", help="Such as sqlite:///app.db, or a path.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def prune(
    database: Target,
    keep_last: Annotated[int | None, typer.Option(min=1, help="How many of each thread's newest runs stay.")] = None,
    keep_for: Annotated[str | None, typer.Option(help="How long runs stay: 30d, 12h, 90m, 45s or 4w.")] = None,
    thread: Annotated[str | None, typer.Option(help="Only this thread.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say only what would go.")] = False,
    compact: Annotated[bool, typer.Option("--compact", help="Write the file anew, so that it gets smaller.")] = False,
    as_json: Json = False,
) -> None:
    """Remove old runs with their checkpoints and journals. A run stays if --keep-last or --keep-for says so.

    The newest run of a thread always stays, and what it needs; whatever stays reads as before. Workflows may go on.
    """
    screen = Screen()
    with errors_shown(screen), open_database(existing_url(database)) as opened:
        if keep_last is None and keep_for is None:
            raise UsageError("say what is to stay: --keep-last 20, --keep-for 30d, or both")
        age = None if keep_for is None else parse_duration(keep_for)
        total = thread_count(opened)
        with shown_progress("Pruning", total) as progress:
            pruned = prune_threads(
                opened, keep_last=keep_last, keep_for=age, thread_id=thread, dry_run=dry_run, progress=progress
            )
        if compact and not dry_run:
            with shown_progress("Compacting", None):
                opened.compact()
        if as_json:
            screen.json({"dry_run": dry_run, **asdict(pruned)})
        else:
            screen.note(_told(pruned, dry_run))


def parse_duration(text: str) -> timedelta:
    """Read a length of time such as 30d.

    Raises:
        UsageError: it is none.
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smhdw])", text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no length of time: write 45s, 90m, 12h, 30d or 4w")
    try:
        return timedelta(**{_UNITS[found[2]]: float(found[1])})
    except OverflowError as error:
        raise UsageError(f"{text!r} is too long a time") from error


def _told(pruned: Pruned, dry_run: bool) -> str:
    would = "Would remove" if dry_run else "Removed"
    trimmed = f", and all but the end of {pruned.trimmed}" if pruned.trimmed else ""
    return f"{would} {pruned.runs} runs of {pruned.threads} threads{trimmed}."
