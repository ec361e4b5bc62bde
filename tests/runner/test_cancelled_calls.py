"""Calls of async code that are cancelled: one by one, by time limits, and by the scopes of other libraries."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import anyio
import pytest

from clew import entrypoint, task
from clew.errors import NodeCancelledError


@task
async def slow() -> None:
    await asyncio.sleep(60)


@task
async def one(number: int) -> int:
    return number


def test_a_scope_inside_a_workflow_ends_its_calls_alone() -> None:
    @entrypoint
    async def flow(x: int) -> Any:
        with anyio.move_on_after(0.01) as alone:
            await slow()
        with anyio.move_on_after(0.01) as together:
            await asyncio.gather(slow(), slow())
        with pytest.raises(TimeoutError), anyio.fail_after(0.01):
            await asyncio.gather(slow(), slow())
        return alone.cancelled_caught, together.cancelled_caught, await one(1)

    assert asyncio.run(flow.ainvoke(1)) == (True, True, 1)


def test_a_scope_around_a_workflow_ends_it() -> None:
    @entrypoint
    async def flow(x: int) -> None:
        await asyncio.gather(slow(), slow())

    async def limited() -> bool:
        with anyio.move_on_after(0.01) as scope:
            await flow.ainvoke(1)
        return scope.cancelled_caught

    async def several() -> list[bool]:
        return [await limited() for _ in range(3)]

    assert asyncio.run(several()) == [True] * 3


@pytest.mark.parametrize("is_awaited", [False, True])
def test_the_message_of_a_cancellation_reaches_who_awaits_the_call(is_awaited: bool) -> None:
    @entrypoint
    async def flow(x: int) -> Any:
        future = slow()
        if is_awaited:
            asyncio.get_running_loop().call_later(0.01, future.cancel, "enough")
        else:
            await asyncio.sleep(0.01)
            future.cancel("enough")
        try:
            await future
        except asyncio.CancelledError as error:
            return error.args

    assert asyncio.run(flow.ainvoke(1)) == ("enough",)


def test_a_call_that_is_cancelled_before_it_is_awaited_is_cancelled() -> None:
    @entrypoint
    async def flow(x: int) -> str:
        future = slow()
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future
        return "went on"

    assert asyncio.run(flow.ainvoke(1)) == "went on"


@pytest.mark.parametrize("before", range(60, 68))
def test_a_call_that_is_cancelled_as_it_is_awaited_ends_however_many_came_before(before: int) -> None:
    @entrypoint
    async def flow(x: int) -> bool:
        for number in range(before):
            await one(number)
        future = one(before)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await future
        await asyncio.wait([future], timeout=5)
        return future.done()

    assert asyncio.run(flow.ainvoke(1))


def test_a_call_that_makes_something_else_of_its_cancellation_leaves_its_caller_alone() -> None:
    @task
    async def tidy() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "tidied up"
        return "slept"

    @task
    async def fail() -> None:
        raise asyncio.CancelledError("own")

    @entrypoint
    async def flow(x: int) -> None:
        future = tidy()
        asyncio.get_running_loop().call_later(0.01, future.cancel)
        assert await future == "tidied up"
        current = asyncio.current_task()
        assert current is not None
        assert not current.cancelling()
        await fail()

    async def called() -> int:
        with pytest.raises(NodeCancelledError):
            await flow.ainvoke(1)
        current = asyncio.current_task()
        assert current is not None
        return current.cancelling()

    assert asyncio.run(called()) == 0
