"""`clew check`: would the runs that are under way survive the code as it is now?"""

from __future__ import annotations

import contextlib
from dataclasses import asdict

from clew.cli.databases import existing_url, open_database
from clew.cli.progress import shown_progress
from clew.cli.screen import Screen
from clew.cli.targets import find_workflow
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
    with contextlib.ExitStack() as stack:
        kept = None if url is None else stack.enter_context(open_database(existing_url(url))).checkpointer
        stack.enter_context(shown_progress("Replaying", None))
        findings = check_replay(workflow, kept)
    if as_json:
        screen.json([asdict(finding) for finding in findings])
    else:
        _show(workflow.name, findings, screen)
    return all(finding.problem is None for finding in findings)


def _show(name: str, findings: list[Finding], screen: Screen) -> None:
    for finding in findings:
        state = f"thread {finding.thread_id} ({finding.status}, {finding.replayed} recorded calls)"
        if finding.problem is None:
            screen.note(f"{state}: would go on")
        else:
            screen.problem(f"{state}: would break: {finding.problem}")
    broken = sum(finding.problem is not None for finding in findings)
    screen.note(f"{name}: {len(findings)} unfinished runs, {broken} would break.")
