"""What counts as the same call, so that a kept result may stand for it. Knows no cache and no clock.

An entry is found by a namespace, which names the function down to its code, and a key, which names the arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

from clew.errors import UsageError


class CachePolicy(Struct, frozen=True):
    """That the results of a task or workflow are kept, and for how long.

    Args:
        key_func: gets the arguments of a call and returns text or bytes; calls of one function with the same key
            share a result. None: calls with equal arguments do, whatever the order of a dict's keys.
        ttl: seconds for which a result is kept, or None for ever.

    Raises:
        TypeError: `key_func` is not callable, or `ttl` is no number.
        ValueError: `ttl` is negative.
    """

    key_func: Callable[..., str | bytes] | None = None
    ttl: float | None = None

    def __post_init__(self) -> None:
        if self.key_func is not None and not callable(self.key_func):
            raise TypeError(f"key_func must be a function of the call's arguments or None, not {self.key_func!r}")
        if self.ttl is not None:
            _check_ttl(self.ttl)


def _check_ttl(ttl: object) -> None:
    if isinstance(ttl, bool) or not isinstance(ttl, int | float):
        raise TypeError(f"ttl must be seconds or None, not {ttl!r}")
    if math.isnan(ttl) or ttl < 0:
        raise ValueError(f"ttl must be at least 0 seconds, not {ttl}")


def checked(policy: object) -> CachePolicy | None:
    """Return what was given as a cache policy.

    Raises:
        TypeError: it is none.
    """
    if policy is None or isinstance(policy, CachePolicy):
        return policy
    raise InvalidPolicy(f"cache_policy must be a CachePolicy or None, not {policy!r}")


class InvalidPolicy(UsageError, TypeError):
    """Something was given as a cache policy that is none."""


class _InvalidKey(UsageError, TypeError):
    pass


def cache_namespace(kind: Literal["task", "workflow"], name: str, identity: str) -> tuple[str, ...]:
    """Return where the results of one function are kept.

    Args:
        kind: what the function is.
        name: the task's or workflow's name.
        identity: what `function_identity` gave for it.
    """
    return ("clew", kind, name, identity)


def cache_key(
    policy: CachePolicy, args: tuple[Any, ...], kwargs: Mapping[str, Any], fingerprint: Callable[[], bytes]
) -> str:
    """Return the key of one call.

    Args:
        policy: what was declared.
        args: positional arguments of the call.
        kwargs: keyword arguments of the call.
        fingerprint: gives the digest of the arguments; called if the policy has no `key_func`. It must refuse an
            argument that it cannot read: one that counts by its type alone would get another's result.

    Raises:
        TypeError: the `key_func` returned neither text nor bytes.
        Whatever `key_func` and `fingerprint` raise.
    """
    if policy.key_func is None:
        return f"arguments:{fingerprint().hex()}"
    return _as_text(policy.key_func(*args, **kwargs))


def _as_text(key: object) -> str:
    if isinstance(key, str):
        return f"text:{key}"
    if isinstance(key, bytes):
        return f"bytes:{key.hex()}"
    raise _InvalidKey(f"key_func must return text or bytes, not {key!r:.200} ({type(key).__name__})")
