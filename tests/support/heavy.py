"""Tasks for an executor, in a module that other processes can import."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from clew import get_runtime, get_store, get_stream_writer, interrupt, task
from clew.errors import NotInWorkflow, Suspended


class LateExecutor(Executor):
    """Stands for an executor that a test gives."""

    inner: Executor | None = None

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        assert self.inner is not None
        return self.inner.submit(fn, *args, **kwargs)


late = LateExecutor()


@task(executor=late)
def where(x: int, *, times: int = 1) -> tuple[int, int]:
    """Return which process this is, and a product."""
    return os.getpid(), x * times


@task(executor=late)
def fails(x: int) -> int:
    raise ValueError("too heavy", x)


@task
def double(x: int) -> int:
    return 2 * x


def at_large(x: int) -> list[Any]:
    """Try what only a run can do, and call a task; return what became of each."""
    asked = [_tried(each) for each in (get_store, get_runtime, get_stream_writer, lambda: interrupt("really?"))]
    return [*asked, double(x).result()]


def _tried(ask: Callable[[], Any]) -> str:
    try:
        return f"worked: {ask()}"
    except (NotInWorkflow, Suspended) as error:
        return type(error).__name__
