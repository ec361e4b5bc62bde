"""How many runs of a workflow may be under way, and begin, in memory."""

from __future__ import annotations

from collections import deque

from clew.engine.pacing import Limit, Use
from clew.storage.base import Begin, LoadUse
from clew.storage.inmemory.threads import Journals


def check_limit(journals: Journals, operation: Begin) -> None:
    """Refuse a run that its workflow's limit does not let in now; take note of one that it does.

    Raises:
        LimitReached: it does not.
    """
    limit, workflow = operation.limit, operation.thread.workflow
    if limit is None:
        return
    held = sum(
        key.workflow == workflow and key != operation.thread and thread.is_held(operation.now_s, operation.evicts)
        for key, thread in journals.threads.items()
    )
    if limit.concurrency is not None and held >= limit.concurrency:
        raise limit.reached(workflow)
    if limit.rate is not None:
        begun = journals.begun.setdefault(workflow, deque())
        while begun and begun[0] <= operation.now_s - limit.per_s:
            begun.popleft()
        if len(begun) >= limit.rate:
            raise limit.reached(workflow, begun[-limit.rate] + limit.per_s)
        begun.append(operation.now_s)


def load_use(journals: Journals, operation: LoadUse) -> dict[str, Use]:
    return {name: _use(journals, name, limit, operation.now_s) for name, limit in operation.limits.items()}


def _use(journals: Journals, workflow: str, limit: Limit, now_s: float) -> Use:
    held = [each for key, each in journals.threads.items() if key.workflow == workflow and each.is_held(now_s)]
    begun = [at_s for at_s in journals.begun.get(workflow, ()) if at_s > now_s - limit.per_s]
    is_full = limit.rate is not None and len(begun) >= limit.rate
    return Use(
        owners=[each.owner for each in held if each.owner is not None], begun=len(begun),
        until_s=begun[-(limit.rate or 0)] + limit.per_s if is_full else None,
    )  # fmt: skip
