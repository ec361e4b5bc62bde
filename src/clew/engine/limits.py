"""Time limits of one attempt: what was declared, and when it fires. The clock comes in as an argument."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from msgspec import Struct

from clew.errors import InvalidOption, NodeTimeoutError

Seconds = float | timedelta


class TimeoutPolicy(Struct, frozen=True, kw_only=True):
    """Limits on one attempt of an async task or workflow.

    Args:
        run_timeout: seconds (or a timedelta) for the attempt as a whole; nothing refreshes it.
        idle_timeout: seconds (or a timedelta) without a sign of life.
        refresh_on: what counts as a sign of life: "auto" is a write to the stream writer, a call of a task, or
            `runtime.heartbeat()`; "heartbeat" is the latter alone.

    Raises:
        ValueError: a limit is not greater than 0, or `refresh_on` is neither of the two.
        TypeError: a limit is no time.
    """

    run_timeout: Seconds | None = None
    idle_timeout: Seconds | None = None
    refresh_on: Literal["auto", "heartbeat"] = "auto"

    def __post_init__(self) -> None:
        for name in ("run_timeout", "idle_timeout"):
            _check(name, getattr(self, name), "seconds or a timedelta")
        if self.refresh_on not in ("auto", "heartbeat"):
            raise ValueError(f"refresh_on must be 'auto' or 'heartbeat', not {self.refresh_on!r}")

    @property
    def run_s(self) -> float | None:
        return None if self.run_timeout is None else _seconds(self.run_timeout)

    @property
    def idle_s(self) -> float | None:
        return None if self.idle_timeout is None else _seconds(self.idle_timeout)


def _seconds(value: Seconds) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else value


def limit(given: Seconds | TimeoutPolicy | None) -> TimeoutPolicy | None:
    """Normalise what `timeout=` was given.

    Raises:
        ValueError: not greater than 0.
        TypeError: neither a number, a timedelta nor a TimeoutPolicy.
    """
    if given is None or isinstance(given, TimeoutPolicy):
        return given
    _check("timeout", given, "seconds, a timedelta or a TimeoutPolicy")
    return TimeoutPolicy(run_timeout=given)


def _check(name: str, given: object, may_be: str) -> None:
    if given is None:
        return
    if isinstance(given, bool) or not isinstance(given, int | float | timedelta):
        raise TypeError(f"{name} must be {may_be}, not {given!r}")
    if not _seconds(given) > 0:
        raise ValueError(f"{name} must be greater than 0 seconds, not {given!r}")


def refuse_on_sync(given: TimeoutPolicy | None, name: str) -> None:
    """Refuse a limit on a function that cannot be stopped from outside.

    Raises:
        ValueError: there is a limit.
    """
    if given is not None:
        raise InvalidOption(
            f"timeout= on {name!r}: time limits are only supported for async nodes, because nothing can stop an OS "
            "thread from outside; declare it with `async def`, or give the client that it calls a time limit"
        )


class Deadlines:
    """When the limits of one attempt fire.

    Args:
        policy: what was declared.
        node: name of the task, for the error.
        now_s: the clock at the attempt's start.
    """

    __slots__ = ("_alive_s", "_node", "_policy", "_started_s")

    def __init__(self, policy: TimeoutPolicy, node: str, now_s: float) -> None:
        self._policy = policy
        self._node = node
        self._started_s = now_s
        self._alive_s = now_s

    def refresh(self, now_s: float, *, heartbeat: bool) -> None:
        """Note a sign of life; with `refresh_on="heartbeat"` only heartbeats are."""
        if heartbeat or self._policy.refresh_on == "auto":
            self._alive_s = now_s

    def remaining_s(self, now_s: float) -> float:
        """Return the seconds until the next limit fires, at most 0 if one has."""
        run_s, idle_s = self._policy.run_s, self._policy.idle_s
        ends = [self._started_s + run_s] if run_s is not None else []
        if idle_s is not None:
            ends.append(self._alive_s + idle_s)
        return min(ends) - now_s if ends else float("inf")

    def error(self, now_s: float) -> NodeTimeoutError:
        """Return the error of the limit that has fired."""
        run_s, idle_s = self._policy.run_s, self._policy.idle_s
        ran = run_s is not None and now_s - self._started_s >= run_s
        since = self._started_s if ran else self._alive_s
        return NodeTimeoutError(
            self._node, now_s - since, kind="run" if ran else "idle", run_timeout=run_s, idle_timeout=idle_s
        )
