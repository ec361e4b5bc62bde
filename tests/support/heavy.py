"""Tasks for an executor, in a module that other processes can import."""

from __future__ import annotations

import os
from concurrent.futures import Executor, Future
from typing import Any

from clew import task


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
