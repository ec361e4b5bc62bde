"""Lets a function run in an executor: in another process, or on a cluster. Only it and its arguments travel."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from clew.errors import InvalidOption
from clew.runner.callee import is_async


def in_executor(function: Callable[..., Any], executor: Executor) -> Callable[..., Any]:
    """Return a blocking function that has another one run by an executor, and waits for it.

    Raises:
        ValueError: the function is async, or that is no executor.
    """
    if not isinstance(executor, Executor):
        raise InvalidOption(f"executor= takes a concurrent.futures.Executor, not {executor!r}")
    if is_async(function):
        raise InvalidOption(f"{function!r} is async; an executor runs blocking functions")

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return executor.submit(_Travelling(function), *args, **kwargs).result()

    return call


class _Travelling:
    """A function that is found by its name where it arrives: under that name, here, stands the task made of it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        module, name = getattr(self._function, "__module__", None), getattr(self._function, "__qualname__", "<none>")
        if module is None or "<" in name:
            return (_Travelling, (self._function,))  # has no such name; the executor says whether it can travel
        return (_found, (module, name))


def _found(module: str, name: str) -> _Travelling:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return _Travelling(getattr(found, "func", found))
