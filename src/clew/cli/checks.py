"""`clew check`: would the runs that are under way survive the code as it is now?"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from clew import Database, Workflow
from clew.cli.databases import existing_url
from clew.cli.screen import Screen
from clew.errors import UsageError
from clew.testing import Finding, check_replay


def check(target: str, url: str | None, screen: Screen, *, as_json: bool) -> bool:
    """Replay the unfinished runs of a workflow, show what was found, and say whether all of them could go on.

    Args:
        target: "FILE:WORKFLOW" or "MODULE:WORKFLOW".
        url: the database; the workflow's own if None.
        screen: where findings are shown.
        as_json: whether they are shown as one JSON list.

    Raises:
        UsageError: there is no such workflow or database.
    """
    workflow = find_workflow(target)
    if url is None:
        findings = check_replay(workflow)
    else:
        with Database(existing_url(url)) as database:
            findings = check_replay(workflow, database.checkpointer)
    if as_json:
        screen.json([asdict(finding) for finding in findings])
    else:
        _show(workflow.name, findings, screen)
    return all(finding.problem is None for finding in findings)


def find_workflow(target: str) -> Workflow[Any, Any]:
    """Import the module that a target names, and return the workflow in it.

    Raises:
        UsageError: there is none.
    """
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise UsageError(f"{target!r} names no workflow; write FILE:WORKFLOW, such as app.py:chat")
    found = getattr(_import(place), name, None)
    if not isinstance(found, Workflow):
        raise UsageError(f"{place} has no workflow {name!r}; it has to be a name at the top level of the module")
    return found


def _import(place: str) -> ModuleType:
    file = Path(place)
    if file.suffix != ".py":
        sys.path.insert(0, "")
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise UsageError(f"there is no module {place!r} here ({error})") from error
    spec = importlib.util.spec_from_file_location(file.stem, file) if file.is_file() else None
    if spec is None or spec.loader is None:
        raise UsageError(f"there is no file {place!r}")
    sys.path.insert(0, str(file.resolve().parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


def _show(name: str, findings: list[Finding], screen: Screen) -> None:
    for finding in findings:
        state = f"thread {finding.thread_id} ({finding.status}, {finding.replayed} recorded calls)"
        if finding.problem is None:
            screen.note(f"{state}: would go on")
        else:
            screen.problem(f"{state}: would break: {finding.problem}")
    broken = sum(finding.problem is not None for finding in findings)
    screen.note(f"{name}: {len(findings)} unfinished runs, {broken} would break.")
