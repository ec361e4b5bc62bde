"""Lets a workflow that was declared without a database keep its threads in the one that somebody works on."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from clew.errors import UsageError
from clew.storage.base import Checkpointer
from clew.store.base import BaseStore
from clew.workflow import Workflow


def adopted(workflow: Workflow[Any, Any], saver: Checkpointer, store: BaseStore | None = None) -> Workflow[Any, Any]:
    """Return the workflow as it is to run on a database: itself, or with the database's parts where it has none.

    Args:
        workflow: as its code declares it.
        saver: of the database.
        store: of the database, or None.

    Raises:
        UsageError: it keeps its threads in another database.
    """
    own = workflow.checkpointer
    if own is None:
        settings = replace(workflow._settings, saver=saver, store=workflow.store or store)
        return Workflow(settings, workflow._context_schema, workflow._bound)
    if own.database.identity != saver.database.identity:
        raise UsageError(
            f"workflow {workflow.name!r} keeps its threads in another database than the one to work on; name that one, "
            "or declare the workflow without a checkpointer"
        )
    return workflow
