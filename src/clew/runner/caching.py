"""Looks up and keeps results of calls that have a cache policy."""

from __future__ import annotations

from typing import Any

from clew.codec.fingerprint import strict_fingerprint
from clew.codec.values import decode, encode
from clew.engine.caching import CachePolicy, cache_key, cache_namespace
from clew.engine.function_identity import function_identity
from clew.errors import NotRecordable
from clew.runner.callee import Callee
from clew.runner.frame import Call
from clew.runner.io import RunnerIO
from clew.storage.cache import BaseCache


class Entry:
    """Where the result of one call is kept. Made before the call runs, for the call may change its arguments.

    Args:
        cache: the entrypoint's.
        call: one whose function has a cache policy.

    Raises:
        NotRecordable: nothing tells these arguments from others.
    """

    __slots__ = ("_cache", "_key", "_name", "_namespace", "_ttl_s")

    def __init__(self, cache: BaseCache, policy: CachePolicy, call: Call) -> None:
        self._cache = cache
        self._name = call.callee.name
        self._namespace = namespace_of(call.callee, call.is_workflow)
        self._key = _key(policy, call)
        self._ttl_s = policy.ttl

    async def look_up(self, io: RunnerIO) -> tuple[bool, Any]:
        """Return whether a result is kept, and the result."""
        data = await io.cached(self._cache, self._namespace, self._key)
        return (False, None) if data is None else (True, decode(data))

    async def keep(self, io: RunnerIO, value: Any) -> None:
        """Keep the result."""
        await io.cache(self._cache, self._namespace, self._key, _encoded(value, self._name), self._ttl_s)


def entry_for(call: Call) -> Entry | None:
    """Return where the result of a call is to be kept, or None if it is not."""
    cache, policy = call.execution.cache, call.callee.cache
    return None if cache is None or policy is None else Entry(cache, policy, call)


def namespace_of(callee: Callee, is_workflow: bool = False) -> tuple[str, ...]:
    """Return where results of a function are kept: its name and what its code is."""
    if callee.identity is None:
        callee.identity = function_identity(callee.function)
    return cache_namespace("workflow" if is_workflow else "task", callee.name, callee.identity)


def _encoded(value: Any, name: str) -> bytes:
    try:
        return encode(value)
    except NotRecordable as error:
        raise NotRecordable(f"{name!r} has a cache policy, but returned what cannot be cached: {error}") from error


def _key(policy: CachePolicy, call: Call) -> str:
    try:
        return cache_key(policy, call.args, call.kwargs, lambda: strict_fingerprint(call.args, call.kwargs))
    except NotRecordable as error:
        raise NotRecordable(
            f"{call.callee.name!r} has a cache policy, but its arguments make no key: {error}. "
            "Say what tells its calls apart: CachePolicy(key_func=...)"
        ) from error
