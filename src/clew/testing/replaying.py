"""Replays the unfinished runs of a database against the code as it is now."""

from __future__ import annotations

from functools import partial
from typing import Any

from clew.configs import context_for
from clew.errors import UsageError
from clew.runner.checking import Finding, check
from clew.storage.base import Checkpointer
from clew.workflow import Workflow


def check_replay(workflow: Workflow[Any, Any], checkpointer: Checkpointer | None = None) -> list[Finding]:
    """Replay the unfinished runs of a workflow against its code, without doing anything.

    The body of the workflow runs up to the first call that is not recorded; tasks do not run, nothing is written.
    Use it before a deployment: a finding with a `problem` is a run that the new code could not continue.

    Args:
        workflow: as the code declares it now.
        checkpointer: where its threads are kept; its own by default.

    Returns:
        One finding for each unfinished run.

    Raises:
        UsageError: there is no checkpointer.
    """
    saver = checkpointer or workflow.checkpointer
    if saver is None:
        raise UsageError(
            f"workflow {workflow.name!r} has no checkpointer; pass the one whose threads are to be checked"
        )
    return check(workflow._settings, saver, partial(context_for, workflow._context_schema))
