"""`@task`: a function whose outcome is recorded."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from clew.codec.declared import allow_named_by
from clew.engine.caching import CachePolicy, checked
from clew.engine.limits import TimeoutPolicy, limit, refuse_on_sync
from clew.engine.retry import RetryPolicy, policies
from clew.errors import InvalidOption, UsageError
from clew.late import late
from clew.listening import hear_life
from clew.runner.callee import Callee, function_name

if TYPE_CHECKING:
    from datetime import timedelta

    from clew.runner import bridge, caching, elsewhere, frame
    from clew.runner.futures import TaskFuture
    from clew.storage.cache import BaseCache
else:
    # A task that is only declared needs nothing that runs it.
    late(globals(), "clew.runner.bridge", "clew.runner.caching", "clew.runner.elsewhere", "clew.runner.frame")

P = ParamSpec("P")
MethodP = ParamSpec("MethodP")
T = TypeVar("T")


class Task(Generic[P, T]):
    """A function marked `@task`. Calling it starts it and gives a future.

    Inside a run the outcome is recorded, and a recorded call is not run again. Outside of one the function is simply
    called, and the future is finished: so a task can be tested alone.
    """

    def __init__(self, callee: Callee, function: Callable[..., Any]) -> None:
        self._callee = callee
        self.func = function
        functools.update_wrapper(self, _unwrapped(function), updated=())
        self.__name__ = callee.name

    @property
    def name(self) -> str:
        """Its name in records, streams and messages."""
        return self._callee.name

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[T]:
        caller = frame.current.get()
        callee = self._callee
        future: TaskFuture[T] = (
            bridge.call_alone(callee, args, kwargs)
            if caller is None
            else bridge.start_call(caller, callee, args, kwargs)
        )
        return future

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Task[P, T]: ...
    @overload
    def __get__(
        self: Task[Concatenate[Any, MethodP], T], instance: object, owner: type | None = None
    ) -> Task[MethodP, T]: ...
    def __get__(self, instance: object, owner: type | None = None) -> Task[..., T]:
        """Bind a method: `@task` may stand on one."""
        callee = self._callee.bind(instance, owner)
        return self if callee is self._callee else Task(callee, callee.function)

    def clear_cache(self, cache: BaseCache) -> None:
        """Forget the results of this task that a cache keeps.

        Args:
            cache: the one that the workflows are given.
        """
        cache.clear(caching.namespace_of(self._callee))

    async def aclear_cache(self, cache: BaseCache) -> None:
        """Like `clear_cache`, for async code."""
        await cache.aclear(caching.namespace_of(self._callee))

    def __repr__(self) -> str:
        return f"<task {self.name!r}>"


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[P, Awaitable[T]], /) -> Task[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> Task[P, T]: ...


@overload
def task(
    function: None = None,
    /,
    *,
    name: str | None = None,
    retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
    cache_policy: CachePolicy | None = None,
    timeout: float | timedelta | TimeoutPolicy | None = None,
    executor: Any = None,
) -> _Decorator: ...
@overload
def task(
    function: Callable[P, Awaitable[T]],
    /,
    *,
    name: str | None = None,
    retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
    cache_policy: CachePolicy | None = None,
    timeout: float | timedelta | TimeoutPolicy | None = None,
    executor: Any = None,
) -> Task[P, T]: ...
@overload
def task(
    function: Callable[P, T],
    /,
    *,
    name: str | None = None,
    retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
    cache_policy: CachePolicy | None = None,
    timeout: float | timedelta | TimeoutPolicy | None = None,
    executor: Any = None,
) -> Task[P, T]: ...
def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
    cache_policy: CachePolicy | None = None,
    timeout: float | timedelta | TimeoutPolicy | None = None,
    executor: Any = None,
) -> Any:
    """Make a task of a function, a bound method, a partial or a callable object, blocking or async.

    Works bare (`@task`), with brackets and keywords (`@task(name=...)`), and as a function (`task(f)`).

    Args:
        function: what is to be a task; left out when used with brackets.
        name: its name in records and streams; the function's name by default.
        retry_policy: after which failures it is tried again.
        cache_policy: that its results are kept in the entrypoint's cache.
        timeout: seconds, a timedelta or a TimeoutPolicy; only for async functions.
        executor: a concurrent.futures.Executor that runs the function, such as a ProcessPoolExecutor, or one of Dask or
            Ray. Only the function and its arguments travel: it is injected nothing, and may ask for nothing of the run.

    Raises:
        ValueError: a timeout that is not greater than 0, or on a function that is not async; an executor for a
            function that is async or asks for what is injected.
        TypeError: a policy of a wrong type, or something that cannot be called.
    """
    retry, within, cache = policies(retry_policy), limit(timeout), checked(cache_policy)

    def make(function: Callable[..., Any]) -> Task[..., Any]:
        if not callable(function):
            order = "; write @classmethod above it" if isinstance(function, classmethod) else ""
            raise NotCallable(f"@task needs a function, not {function!r}{order}")
        inner = function.func if isinstance(function, Task) else function
        called = name or function_name(inner)
        runs = inner if executor is None else elsewhere.in_executor(inner, executor)
        callee = Callee(runs, called, retry=retry, limit=within, cache=cache, hear_life=hear_life)
        if executor is not None and callee.injected:
            names = ", ".join(name for name, _, _ in callee.injected)
            raise InvalidOption(f"task {called!r} runs in an executor, where it cannot be given {names}")
        if not callee.is_async:
            refuse_on_sync(within, callee.name)
        allow_named_by(inner)
        return Task(callee, inner)

    return make if function is None else make(function)


class NotCallable(UsageError, TypeError):
    """Something was to be a task or workflow that cannot be called."""


def _unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function
