"""How many runs of each workflow a worker may try to begin, and when it is to look again.

Whether one may begin the database decides when it does; here is decided what is worth trying.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from clew.engine.pacing import Limit, Use
from clew.errors import LimitReached
from clew.runner.leases import is_dead, this_process


class Allowance:
    """What is known here of the limits of some workflows.

    Args:
        limits: by workflow; None for one without.
    """

    def __init__(self, limits: Mapping[str, Limit | None]) -> None:
        self._workflows = list(limits)
        self.limits = {name: limit for name, limit in limits.items() if limit is not None}
        self._again_s: dict[str, float] = {}  # when those that had to wait may be tried again

    def refused(self, workflow: str, why: LimitReached, or_s: float) -> None:
        """Note that a run was not let in; where nobody knows until when, it is tried again at `or_s`."""
        self._again_s[workflow] = or_s if why.until_s is None else why.until_s

    def try_again(self, workflow: str | None = None) -> None:
        """Note that a run of a workflow has ended; None: perhaps one of any."""
        for name in list(self._again_s) if workflow is None else [workflow]:
            self._again_s.pop(name, None)

    def forget_past(self, now_s: float) -> None:
        """Let those be tried whose time has come."""
        for name, again_s in list(self._again_s.items()):
            if again_s <= now_s:
                self._again_s.pop(name, None)

    def again_s(self) -> float:
        """Return when the first of those that have to wait may be tried again; infinite if none has to."""
        return min(list(self._again_s.values()), default=math.inf)

    def room(self, use: Mapping[str, Use], under_way: Counter[str]) -> dict[str, float]:
        """Return how many runs more of each workflow may begin.

        Args:
            use: of each limit.
            under_way: by workflow, how many runs were begun here, some of which may hold no lease yet.
        """
        for name, used in use.items():
            if used.until_s is not None:
                self._again_s[name] = used.until_s
        return {name: self._room(name, use.get(name), under_way[name]) for name in self._workflows}

    def _room(self, workflow: str, use: Use | None, under_way: int) -> float:
        if workflow in self._again_s:
            return 0
        if use is None:
            return math.inf
        limit, owners = self.limits[workflow], Counter(use.owners)
        here = max(owners.pop(this_process(), 0), under_way)
        others = sum(count for owner, count in owners.items() if not is_dead(owner))  # whose runs are to go on
        free = math.inf if limit.concurrency is None else limit.concurrency - others - here
        return free if limit.rate is None else min(free, limit.rate - use.begun)
