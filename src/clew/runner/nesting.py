"""Workflows called inside a run: a call like that of a task, with a scope of its own."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from clew.codec.values import encode
from clew.engine.records import Piece, Run, ThreadKey
from clew.engine.state import kept_metadata
from clew.runner import saved
from clew.runner.frame import Call


def saved_run(call: Call, value: Any) -> list[tuple[ThreadKey, Run, Sequence[Piece]]]:
    """Return the finished run that a nested workflow which remembers leaves on a thread of its own, and its pieces.

    Args:
        call: of the nested workflow.
        value: what its function returned.
    """
    thread = call.scope.remembers_on if call.is_workflow else None
    if thread is None or call.execution.saver is None:
        return []
    left = saved.left(value, call.scope.grows_from)
    now_s = time.time()
    run = Run(
        id=uuid.uuid4().hex, number=0, source="update", parent=None, previous=call.scope.given, step=-1,
        status="done", input=None, value=left.value, saved=left.saved,
        metadata=encode(kept_metadata(call.scope.config)), created_s=now_s, ended_s=now_s,
    )  # fmt: skip
    return [(thread, run, left.pieces)]
