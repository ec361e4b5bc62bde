"""Nothing that is called inside a run ever waits for that run."""

from __future__ import annotations

from typing import Any

from clew import (
    Checkpointer,
)
from support.colours import Colour, result, thread


def test_workflows_that_call_each_other_on_one_thread(colour: Colour, saver: Checkpointer) -> None:
    async def call(flow: Any, x: int) -> Any:
        return await flow.ainvoke(x, thread()) if colour.workflow_is_async else flow.invoke(x, thread())

    @colour.entrypoint(checkpointer=saver, wait_s=5)
    async def ping(x: int) -> Any:
        return [x, await call(pong, x - 1)] if x else "end"

    @colour.entrypoint(checkpointer=saver, wait_s=5)
    async def pong(x: int) -> Any:
        return [x, await call(ping, x - 1)] if x else "end"

    assert colour.invoke(ping, 3, thread()) == [3, [2, [1, "end"]]]


def test_a_task_that_calls_a_workflow_on_the_thread_of_its_run(colour: Colour, saver: Checkpointer) -> None:
    @colour.entrypoint(checkpointer=saver, wait_s=5, on_conflict="reject")
    async def inner(x: int, previous: int = 0) -> int:
        return x + (previous or 0)

    @colour.task
    async def calls(x: int) -> Any:
        return await inner.ainvoke(x, thread()) if colour.task_is_async else inner.invoke(x, thread())

    @colour.entrypoint(checkpointer=saver, wait_s=5, on_conflict="rollback")
    async def outer(x: int) -> Any:
        return [await result(calls(x)), await result(calls(x))]

    assert colour.invoke(outer, 1, thread()) == [1, 2]
    assert colour.invoke(inner, 1, thread()) == 3  # it remembers by itself


def test_a_workflow_without_a_checkpointer_around_one_with(colour: Colour, saver: Checkpointer) -> None:
    @colour.entrypoint(checkpointer=saver, wait_s=5)
    async def kept(x: int) -> Any:
        if not x:
            return "end"
        return await around.ainvoke(x - 1) if colour.workflow_is_async else around.invoke(x - 1)

    @colour.entrypoint()
    async def around(x: int) -> Any:
        return await kept.ainvoke(x, thread()) if colour.workflow_is_async else kept.invoke(x, thread())

    assert colour.invoke(around, 2, thread()) == "end"
