"""A function as the runner calls it: its name, its colour, what it is injected, and under which policies it runs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clew.engine.caching import CachePolicy
from clew.engine.identity import key_name
from clew.engine.limits import TimeoutPolicy
from clew.engine.retry import RetryPolicy
from clew.engine.unset import UNSET

INJECTABLE = ("config", "store", "writer", "previous", "runtime")


class Callee:
    """A user's function with its policies.

    Args:
        function: what is called.
        name: its name in records, streams and messages.
        retry: policies, the first that fits counts.
        limit: time limits of one attempt, or None.
        cache: how results are cached, or None.
        hear_life: called in the context of every attempt that has a limit on silence, so that signs of life are heard
            that the function gives to others; or None.
        skip: how many leading parameters are never injected (a workflow's input is one).
    """

    __slots__ = (
        "_skip", "cache", "function", "hear_life", "identity", "injected", "is_async", "key_name", "limit", "name",
        "retry",
    )  # fmt: skip

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        *,
        retry: tuple[RetryPolicy, ...] = (),
        limit: TimeoutPolicy | None = None,
        cache: CachePolicy | None = None,
        hear_life: Callable[[], None] | None = None,
        skip: int = 0,
    ) -> None:
        self.function = function
        self.name = name
        self.key_name = key_name(name)
        self.is_async = is_async(function)
        self.retry = retry
        self.limit = limit
        self.cache = cache
        self.hear_life = hear_life if limit is not None and limit.idle_s is not None else None
        self.injected = _injected(function, skip)
        self.identity: str | None = None
        self._skip = skip

    def bind(self, instance: object, owner: type | None) -> Callee:
        """Return the method of an object that this is as an attribute of its class; itself where it is none."""
        binds = getattr(type(self.function), "__get__", None)
        bound = self.function if binds is None else binds(self.function, instance, owner)
        if bound is self.function:
            return self
        return Callee(
            bound, self.name, retry=self.retry, limit=self.limit, cache=self.cache, hear_life=self.hear_life,
            skip=self._skip,
        )  # fmt: skip

    def bound(self, args: Sequence[Any], kwargs: Mapping[str, Any], provide: Callable[[str], Any]) -> Mapping[str, Any]:
        """Return the keyword arguments of a call with what is to be injected; what the caller passed wins.

        Args:
            args: what the caller passes by position.
            kwargs: what the caller passes by name.
            provide: gives the value of an injectable name, or UNSET where the parameter's default is to hold.
        """
        if not self.injected:
            return kwargs
        added = {}
        for name, place, has_default in self.injected:
            if name in kwargs or (place is not None and place < len(args)):
                continue
            value = provide(name)
            if value is not UNSET:
                added[name] = value
            elif not has_default:
                added[name] = None
        return {**kwargs, **added}


def function_name(function: Callable[..., Any]) -> str:
    """Return the name of a function, of what a partial wraps, or of a callable object's class."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def is_async(function: Callable[..., Any]) -> bool:
    """Say whether calling a function gives a coroutine."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.iscoroutinefunction(function):
        return True
    return not inspect.isroutine(function) and inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def is_generator(function: Callable[..., Any]) -> bool:
    """Say whether calling a function gives a generator, blocking or async."""
    while isinstance(function, functools.partial):
        function = function.func
    kinds = (function, getattr(function, "__call__", None))  # noqa: B004
    return any(inspect.isgeneratorfunction(kind) or inspect.isasyncgenfunction(kind) for kind in kinds)


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function; none where it does not tell."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []


def _injected(function: Callable[..., Any], skip: int) -> tuple[tuple[str, int | None, bool], ...]:
    """Find the injectable parameters: name, place if it can be passed by position, and whether there is a default."""
    found: list[tuple[str, int | None, bool]] = []
    for place, parameter in enumerate(parameters(function)):
        if parameter.name not in INJECTABLE or place < skip:
            continue
        has_default = parameter.default is not parameter.empty
        if parameter.kind is parameter.KEYWORD_ONLY:
            found.append((parameter.name, None, has_default))
        elif parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            found.append((parameter.name, place, has_default))
    return tuple(found)
