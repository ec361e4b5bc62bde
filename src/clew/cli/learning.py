"""`clew learn`: learn from a thread, see before what would change, and take it back."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from clew import Workflow
from clew.cli.looking import Thread
from clew.cli.progress import shown_progress
from clew.cli.pruning import Json
from clew.cli.screen import Screen, errors_shown
from clew.cli.targets import find_workflow
from clew.errors import ClewError, UsageError
from clew.learn import Change, Learn, Learned, Undo, Undone, is_learner
from clew.learn.learner import check_wish

log = logging.getLogger("clew.cli")

_COLUMNS = ["change", "memory", "before", "after", "message", "because of"]


def learn(
    target: Annotated[str, typer.Argument(help="FILE:LEARNER or MODULE:LEARNER, such as app.py:learner.")],
    thread: Thread,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say only what would change.")] = False,
    undo: Annotated[str | None, typer.Option(metavar="RUN", help="Take back what this run changed.")] = None,
    as_json: Json = False,
) -> None:
    """Learn what is new on a thread: facts that people said become memories, each with its source.

    The learner is what clew.learn.create_learner gave. It works here and now, on its own database. The exit code is 1
    if --undo left something as it is, because somebody changed it since.
    """
    screen = Screen()
    with errors_shown(screen):
        if undo is not None and dry_run:
            raise UsageError("give --dry-run or --undo, not both")
        learner = _learner(target)
        wish = Learn(dry_run=dry_run) if undo is None else Undo(run=undo)
        told = _told(screen, learner, wish, thread)
        if as_json:
            screen.json(_data(told))
        elif isinstance(told, Undone):
            _show_undone(screen, told)
        else:
            _show_learned(screen, told)
        if isinstance(told, Undone) and told.conflicts:
            raise typer.Exit(1)


def _learner(target: str) -> Workflow[Any, Any]:
    found = find_workflow(target)
    if not is_learner(found):
        raise UsageError(f"{target} is a workflow, but no learner; clew.learn.create_learner makes one")
    return found


def _told(screen: Screen, learner: Workflow[Any, Any], wish: Learn | Undo, thread: str) -> Any:
    """Let the learner work, and show in one line what its model raised."""
    check_wish(learner, wish, thread)
    try:
        with shown_progress("Learning", None):
            return learner.invoke(wish, {"configurable": {"thread_id": thread}})
    except ClewError:
        raise
    except Exception as error:
        log.debug("the learner failed", exc_info=error)
        screen.problem(f"clew: the learner failed: {type(error).__name__}: {error}")
        raise typer.Exit(1) from error


def _show_learned(screen: Screen, learned: Learned) -> None:
    screen.table(_COLUMNS, map(_row, learned.changes))
    for refused in learned.refused:
        screen.problem(f"refused, for {refused.why}: {refused.content} (quoted: {refused.quote})")
    screen.note(
        f"{_count(learned.messages, 'new message')}, {_count(len(learned.changes), 'change')}, "
        f"{_count(learned.known, 'fact')} known, {len(learned.refused)} refused"
    )
    if learned.dry_run:
        screen.note("Nothing was changed.")
    elif learned.changes:
        screen.note(f"Take it back with: --undo {learned.run}")


def _show_undone(screen: Screen, undone: Undone) -> None:
    screen.table(_COLUMNS, map(_row, undone.changes))
    for conflict in undone.conflicts:
        now = "it is gone" if conflict.now is None else f"it is {_text(conflict.now)}"
        screen.problem(f"conflict: {conflict.change.key} was changed since, and stays; {now}")
    screen.note(f"{_count(len(undone.changes), 'change')} taken back, {_count(len(undone.conflicts), 'conflict')}")


def _row(change: Change) -> Sequence[str]:
    source = change.source
    return change.action, change.key, _text(change.before), _text(change.after), source.message, source.quote


def _text(value: dict[str, Any] | None) -> str:
    if value is None:
        return ""
    return str(value["content"]) if "content" in value else json.dumps(value, ensure_ascii=False)


def _data(told: Learned | Undone) -> dict[str, Any]:
    changes = [{"action": change.action, **asdict(change)} for change in told.changes]
    return {**asdict(told), "changes": changes}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
