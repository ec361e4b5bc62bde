"""When a failed attempt is tried again, and after how long. Chance comes in as an argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from clew.errors import NodeCancelledError, NodeTimeoutError

_NOT_RETRIED: tuple[type[BaseException], ...] = (
    ValueError, TypeError, ArithmeticError, ImportError, LookupError, NameError, SyntaxError, RuntimeError,
    ReferenceError, StopIteration, StopAsyncIteration, OSError,
)  # fmt: skip


def retried_by_default(error: BaseException) -> bool:
    """Say whether an error looks passing: lost connections, time limits, 5xx answers, and what nobody listed.

    Errors of httpx and requests are known by the shape of their response, so that neither need be installed.
    """
    if isinstance(error, ConnectionError | NodeTimeoutError):
        return True
    status = _http_status(error)
    if status is not None:
        return status >= 500
    if _is_http_error(error):
        return True  # no answer came at all
    return not isinstance(error, _NOT_RETRIED)


def _is_http_error(error: BaseException) -> bool:
    return any(
        (cls.__module__.partition(".")[0], cls.__name__) in {("httpx", "HTTPStatusError"), ("requests", "HTTPError")}
        for cls in type(error).__mro__
    )


def _http_status(error: BaseException) -> int | None:
    if not _is_http_error(error):
        return None
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


class RetryPolicy(Struct, frozen=True):
    """How often, after what pauses and on which errors an attempt is repeated.

    Args:
        initial_interval: seconds before the second attempt.
        backoff_factor: each further pause is this many times longer.
        max_interval: seconds, the longest pause.
        max_attempts: how many attempts in all, the first included.
        jitter: whether up to one second of chance is added to each pause.
        retry_on: an exception class, a sequence of them, or a function of the exception that says yes or no.

    Raises:
        ValueError: a number is too small.
    """

    initial_interval: float = 0.5
    backoff_factor: float = 2.0
    max_interval: float = 128.0
    max_attempts: int = 3
    jitter: bool = True
    retry_on: type[Exception] | Sequence[type[Exception]] | Callable[[Exception], bool] = retried_by_default

    def __post_init__(self) -> None:
        for name, least in (("initial_interval", 0), ("backoff_factor", 0), ("max_interval", 0), ("max_attempts", 1)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)!r}")

    def fits(self, error: BaseException) -> bool:
        """Say whether this policy speaks of the error.

        Raises:
            TypeError: `retry_on` is none of what it may be.
        """
        on: Any = self.retry_on
        if isinstance(on, type):
            if issubclass(on, BaseException):
                return isinstance(error, on)
        elif isinstance(on, Sequence) and not isinstance(on, str):
            if all(isinstance(cls, type) and issubclass(cls, BaseException) for cls in on):
                return isinstance(error, tuple(on))
        elif callable(on):
            return bool(on(error))
        raise TypeError(
            f"retry_on must be an Exception class, a sequence of them, or a function of the exception, not {on!r}"
        )

    def pause_s(self, failures: int) -> float:
        """Return the pause after the n-th failure in seconds, without chance."""
        try:
            return float(min(self.max_interval, self.initial_interval * self.backoff_factor ** (failures - 1)))
        except OverflowError:
            return float(self.max_interval)


def policies(given: RetryPolicy | Sequence[RetryPolicy] | None) -> tuple[RetryPolicy, ...]:
    """Normalise what `retry_policy=` was given.

    Raises:
        TypeError: it is no policy and no sequence of policies.
    """
    if given is None:
        return ()
    is_several = isinstance(given, Sequence) and not hasattr(given, "_fields")  # a NamedTuple is somebody else's policy
    many: tuple[Any, ...] = tuple(given) if is_several else (given,)  # type: ignore[arg-type]
    for policy in many:
        if not isinstance(policy, RetryPolicy):
            raise TypeError(f"retry_policy must be clew's RetryPolicy or a sequence of them, not {policy!r}")
    return many


class Retries:
    """Counts the failures of one call, by the policy that fits each."""

    __slots__ = ("_failures", "_policies")

    def __init__(self, policies: tuple[RetryPolicy, ...]) -> None:
        self._policies = policies
        self._failures = [0] * len(policies)

    def pause_s(self, error: BaseException, chance: Callable[[float, float], float]) -> float | None:
        """Return the seconds to wait before the next attempt, or None if there is none.

        Args:
            error: what the attempt ended with.
            chance: random.uniform, or what stands in for it.
        """
        if isinstance(error, NodeCancelledError):
            return None
        for place, policy in enumerate(self._policies):
            if policy.fits(error):
                self._failures[place] += 1
                if self._failures[place] >= policy.max_attempts:
                    return None
                pause = policy.pause_s(self._failures[place])
                return pause + chance(0, 1) if policy.jitter else pause
        return None
