"""Nothing that is called inside a run ever waits for that run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from clew import Checkpointer, entrypoint, task
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


def test_calls_side_by_side_that_remember_on_one_thread_follow_one_another(colour: Colour, saver: Checkpointer) -> None:
    @colour.task
    async def add(x: int, so_far: int) -> int:
        return x + so_far

    @colour.entrypoint(checkpointer=saver)
    async def inner(x: int, previous: int = 0) -> int:
        return await result(add(x, previous or 0))

    @colour.task
    async def calls(x: int) -> Any:
        return await inner.ainvoke(x, thread()) if colour.task_is_async else inner.invoke(x, thread())

    @colour.entrypoint(checkpointer=saver)
    async def outer(count: int) -> Any:
        futures = [calls(1) for _ in range(count)]
        return [await result(future) for future in futures]

    assert sorted(colour.invoke(outer, 5, thread())) == [1, 2, 3, 4, 5]
    assert colour.invoke(inner, 1, thread()) == 6


def test_runs_on_several_threads_whose_calls_remember_on_one(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def inner(x: int, previous: int = 0) -> int:
        return x + (previous or 0)

    @entrypoint(checkpointer=saver)
    def outer(x: int) -> Any:
        return inner.invoke(x, thread())

    with ThreadPoolExecutor(5) as pool:
        values = pool.map(lambda at: outer.invoke(1, thread(f"outer {at}")), range(5))
    assert sorted(values) == [1, 2, 3, 4, 5]


def test_calls_that_call_each_other_side_by_side_do_not_wait_for_each_other(saver: Checkpointer) -> None:
    both = Barrier(2, timeout=20)

    @entrypoint(checkpointer=saver)
    def ping(x: int, previous: Any = None) -> Any:
        both.wait() if x == 2 else None
        return [x, pong.invoke(x - 1, thread())] if x else "end"

    @entrypoint(checkpointer=saver)
    def pong(x: int, previous: Any = None) -> Any:
        both.wait() if x == 2 else None
        return [x, ping.invoke(x - 1, thread())] if x else "end"

    @task
    def call(flow: str) -> Any:
        return (ping if flow == "ping" else pong).invoke(2, thread())

    @entrypoint(checkpointer=saver)
    def outer(x: int) -> Any:
        return [future.result() for future in [call("ping"), call("pong")]]

    assert outer.invoke(1, thread()) == [[2, [1, "end"]], [2, [1, "end"]]]
