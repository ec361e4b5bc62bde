"""How many runs of one workflow a worker may carry out at once, and how many it may begin in a while."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from clew.errors import InvalidOption


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What one worker may do of one workflow.

    Args:
        concurrency: how many runs side by side, or None.
        rate: how many runs it may begin in `per_s` seconds, or None.
        per_s: see `rate`.

    Raises:
        ValueError: one of them is not greater than 0.
    """

    concurrency: int | None = None
    rate: int | None = None
    per_s: float = 1.0

    def __post_init__(self) -> None:
        for name in ("concurrency", "rate", "per_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidOption(f"Limit({name}=...) must be greater than 0, not {value!r}")


class Pace:
    """Holds the runs of one workflow to its limit."""

    __slots__ = ("_begun", "_limit")

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._begun: deque[float] = deque()  # when, as far as it still counts

    def may_begin(self, now_s: float, under_way: int) -> bool:
        """Say whether one more run may begin now, while so many are under way."""
        limit = self._limit
        while self._begun and self._begun[0] <= now_s - limit.per_s:
            self._begun.popleft()
        if limit.concurrency is not None and under_way >= limit.concurrency:
            return False
        return limit.rate is None or len(self._begun) < limit.rate

    def begin(self, now_s: float) -> None:
        """Take note that a run begins."""
        if self._limit.rate is not None:
            self._begun.append(now_s)
