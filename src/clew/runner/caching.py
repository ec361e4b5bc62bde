"""Looks up and keeps results of calls that have a cache policy."""

from __future__ import annotations

from typing import Any

from clew.codec.fingerprint import strict_fingerprint
from clew.codec.values import decode, encode
from clew.engine.caching import CachePolicy, cache_key, cache_namespace, function_identity
from clew.errors import NotRecordable
from clew.runner.callee import Callee
from clew.runner.frame import Call
from clew.runner.io import RunnerIO


async def look_up(io: RunnerIO, call: Call) -> tuple[bool, Any]:
    """Return whether a result is kept for such a call, and the result."""
    assert call.execution.cache is not None
    data = await io.cached(call.execution.cache, namespace_of(call.callee, call.is_workflow), _key(call))
    return (False, None) if data is None else (True, decode(data))


async def keep(io: RunnerIO, call: Call, value: Any) -> None:
    """Keep a result for calls like this one."""
    policy = _policy(call)
    assert call.execution.cache is not None
    namespace = namespace_of(call.callee, call.is_workflow)
    await io.cache(call.execution.cache, namespace, _key(call), encode(value), policy.ttl)


def namespace_of(callee: Callee, is_workflow: bool = False) -> tuple[str, ...]:
    """Return where results of a function are kept: its name and what its code is."""
    if callee.identity is None:
        callee.identity = function_identity(callee.function)
    return cache_namespace("workflow" if is_workflow else "task", callee.name, callee.identity)


def _policy(call: Call) -> CachePolicy:
    policy: CachePolicy | None = call.callee.cache
    assert policy is not None
    return policy


def _key(call: Call) -> str:
    try:
        return cache_key(_policy(call), call.args, call.kwargs, lambda: strict_fingerprint(call.args, call.kwargs))
    except NotRecordable as error:
        raise NotRecordable(
            f"{call.callee.name!r} has a cache policy, but its arguments make no key: {error}. "
            "Say what tells its calls apart: CachePolicy(key_func=...)"
        ) from error
