"""Lets a story be written once and run in every pair of colours: blocking or async workflow, blocking or async tasks.

Bodies are written as coroutine functions that wait only through `result`, `results`, `Gate` and `Meeting`. Where a body
is to be blocking, it is driven on its own OS thread and each of those waits there.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from clew import Task, Workflow, entrypoint, task
from clew.runner.io import run_blocking

PATIENCE_S = 30.0  # far longer than anything here takes; a test that hangs fails instead


@dataclass(frozen=True)
class Colour:
    """Makes and runs workflows and tasks in one pair of colours."""

    workflow_is_async: bool
    task_is_async: bool

    def __str__(self) -> str:
        names = {False: "blocking", True: "async"}
        return f"{names[self.workflow_is_async]}-workflow-{names[self.task_is_async]}-task"

    def entrypoint(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Make a workflow of a function written in either colour; works bare and with keywords."""
        if function is None:
            return lambda function: self.entrypoint(function, **options)
        workflow: Workflow[Any, Any] = entrypoint(**options)(painted(function, self.workflow_is_async))
        return workflow

    def task(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Make a task of a function written in either colour; works bare and with keywords."""
        if function is None:
            return lambda function: self.task(function, **options)
        made: Task[..., Any] = task(painted(function, self.task_is_async), **options)
        return made

    def invoke(self, workflow: Workflow[Any, Any], input: Any, config: Any = None, **options: Any) -> Any:
        """Run a workflow by the verb of its colour."""
        if self.workflow_is_async:
            return asyncio.run(workflow.ainvoke(input, config, **options))
        return workflow.invoke(input, config, **options)

    def stream(self, workflow: Workflow[Any, Any], input: Any, config: Any = None, **options: Any) -> list[Any]:
        """Return the chunks of a stream, by the verb of the workflow's colour."""
        if self.workflow_is_async:
            return asyncio.run(_listed(workflow.astream(input, config, **options)))
        return list(workflow.stream(input, config, **options))


COLOURS = [Colour(workflow, task) for workflow in (False, True) for task in (False, True)]


def painted(function: Callable[..., Any], is_async: bool) -> Callable[..., Any]:
    """Return the same function as a blocking or as an async one."""
    written_async = inspect.iscoroutinefunction(function)

    @functools.wraps(function)
    async def painted_async(*args: Any, **kwargs: Any) -> Any:
        with _body(blocks=False):
            return await function(*args, **kwargs) if written_async else function(*args, **kwargs)

    @functools.wraps(function)
    def painted_blocking(*args: Any, **kwargs: Any) -> Any:
        with _body(blocks=True):
            return run_blocking(function(*args, **kwargs)) if written_async else function(*args, **kwargs)

    return painted_async if is_async else painted_blocking


async def result(future: Any) -> Any:
    """Wait for a future in the colour of the running body."""
    if _on_loop():
        return await future
    return future.result(timeout=PATIENCE_S)


async def results(*futures: Any) -> list[Any]:
    """Wait for futures, in the colour of the running body; the first error in their order is raised."""
    return [await result(future) for future in futures]


class Gate:
    """Holds bodies of either colour until it is opened, from anywhere."""

    def __init__(self) -> None:
        self._opened: concurrent.futures.Future[None] = concurrent.futures.Future()

    def open(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    @property
    def is_open(self) -> bool:
        return self._opened.done()

    async def passed(self) -> None:
        """Wait, in a body, until the gate is open."""
        if _on_loop():
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.shield(asyncio.wrap_future(self._opened))
        else:
            self.wait()

    def wait(self) -> None:
        """Wait, in a test or a blocking body, until the gate is open."""
        self._opened.result(timeout=PATIENCE_S)


class Meeting:
    """Lets bodies of either colour go on only once so many are there: proves that they run side by side."""

    def __init__(self, parties: int) -> None:
        self._missing = parties
        self._lock = threading.Lock()
        self._gate = Gate()

    async def all_here(self) -> None:
        with self._lock:
            self._missing -= 1
            complete = self._missing <= 0
        if complete:
            self._gate.open()
        await self._gate.passed()


async def passing() -> None:
    """Give others the chance to run, in a body."""
    if _on_loop():
        await asyncio.sleep(0.001)
    else:
        threading.Event().wait(0.001)


def thread(name: str = "1", **more: Any) -> Mapping[str, Any]:
    """Return the config that names a thread."""
    return {"configurable": {"thread_id": name}, **more}


@contextlib.contextmanager
def _body(*, blocks: bool) -> Iterator[None]:
    token = _blocks.set(blocks)
    try:
        yield
    finally:
        _blocks.reset(token)


_blocks: ContextVar[bool | None] = ContextVar("blocks", default=None)


def _on_loop() -> bool:
    """Say whether the running body is an async one; a blocking one may be on a loop's OS thread, as in notebooks."""
    blocks = _blocks.get()
    return asyncio._get_running_loop() is not None if blocks is None else not blocks


async def _listed(chunks: AsyncIterator[Any]) -> list[Any]:
    return [chunk async for chunk in chunks]
