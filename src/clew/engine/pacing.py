"""How many runs of one workflow workers may carry out at once, and how many they may begin in a while."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Struct

from clew.errors import InvalidOption, LimitReached


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What all workers on a database together may do of one workflow.

    Args:
        concurrency: workers begin a run only while fewer than so many are under way, whoever began those; or None.
        rate: how many runs workers may begin, or take up again, in any `per_s` seconds; or None.
        per_s: see `rate`.

    Raises:
        ValueError: one of them is not greater than 0, or `concurrency` or `rate` is no whole number.
    """

    concurrency: int | None = None
    rate: int | None = None
    per_s: float = 1.0

    def __post_init__(self) -> None:
        for name in ("concurrency", "rate"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value > 0):
                raise InvalidOption(f"Limit({name}=...) must be a whole number greater than 0, not {value!r}")
        if not (math.isfinite(self.per_s) and self.per_s > 0):
            raise InvalidOption(f"Limit(per_s=...) must be greater than 0 seconds, not {self.per_s!r}")

    def reached(self, workflow: str, until_s: float | None = None) -> LimitReached:
        """Return the error of a run that may not begin now.

        Args:
            workflow: its workflow.
            until_s: when the rate lets one more begin; None: too many are under way.
        """
        if until_s is None:
            return LimitReached(f"{self.concurrency} runs of workflow {workflow!r} are under way, as many as may be")
        return LimitReached(f"{self.rate} runs of workflow {workflow!r} began within {self.per_s:g} s", until_s)


class Use(Struct, frozen=True, kw_only=True):
    """How much of a workflow's limit is in use.

    Args:
        owners: who holds a thread of it, once for each lease that has not run out.
        begun: how many of its runs were begun with a limit within its period.
        until_s: when one more may begin, if as many were begun as may be; or None.
    """

    owners: Sequence[str] = ()
    begun: int = 0
    until_s: float | None = None
