"""What happens to errors and cancellations on their way (section 9 of what people expect)."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pydantic
import pytest

from clew import Checkpointer, Command, NodeCancelledError, entrypoint, interrupt, task
from support.colours import PATIENCE_S, Colour, Gate, result, thread


def test_an_error_is_raised_where_the_result_is_asked_for_and_may_be_caught_there(
    colour: Colour, saver: Checkpointer
) -> None:
    failure = ValueError("on odd numbers")

    @colour.task
    async def halve(x: int) -> int:
        if x % 2:
            raise failure
        return x // 2

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> list[Any]:
        found: list[Any] = [await result(halve(4))]
        future = halve(3)
        try:
            await result(future)
        except ValueError as error:
            found.append(error is failure)
        return [*found, await result(halve(8))]

    assert colour.invoke(flow, 1, thread()) == [2, True, 4]


def test_an_uncaught_error_leaves_invoke_and_streams_as_the_same_object(colour: Colour, saver: Checkpointer) -> None:
    failure = KeyError("missing")

    @colour.task
    async def fails() -> None:
        raise failure

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> None:
        await result(fails())

    for run in (colour.invoke, colour.stream):
        with pytest.raises(KeyError, match="missing") as caught:
            run(flow, 1, thread())
        assert caught.value is failure


def test_an_error_of_the_body_itself_leaves_unchanged(colour: Colour, saver: Checkpointer) -> None:
    failure = ZeroDivisionError("by hand")

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> None:
        raise failure

    with pytest.raises(ZeroDivisionError) as caught:
        colour.invoke(flow, 1, thread())
    assert caught.value is failure
    assert flow.get_state(thread()).tasks[0].error == repr(failure)


def test_notes_name_the_task_and_the_workflow_once_each(colour: Colour) -> None:
    @colour.task
    async def fails() -> None:
        raise KeyError("missing")

    @colour.task
    async def calls_it() -> None:
        await result(fails())

    @colour.entrypoint
    async def flow(x: int) -> None:
        await result(calls_it())

    with pytest.raises(KeyError) as caught:
        colour.invoke(flow, 1)
    notes = caught.value.__notes__
    assert [note.split()[1:3] for note in notes] == [
        ["task", "'fails'"],
        ["task", "'calls_it'"],
        ["workflow", "'flow'"],
    ]


def test_when_an_async_workflow_fails_its_running_tasks_are_cancelled(saver: Checkpointer) -> None:
    never, seen = Gate(), []

    @task
    async def endless() -> None:
        try:
            await never.passed()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    @task
    async def fails() -> None:
        while not running:
            await asyncio.sleep(0)
        raise KeyError("first")

    running: list[bool] = []

    @task
    async def note() -> None:
        running.append(True)

    @entrypoint(checkpointer=saver)
    async def flow(x: int) -> None:
        await asyncio.gather(endless(), fails(), note())

    async def run() -> None:
        with pytest.raises(KeyError, match="first"):
            async with asyncio.timeout(PATIENCE_S):
                await flow.ainvoke(1, thread())
        assert seen == ["cancelled"]

    asyncio.run(run())


def test_a_failing_run_waits_for_blocking_tasks_that_cannot_be_stopped(saver: Checkpointer) -> None:
    finished: list[bool] = []
    begun, go_on = Gate(), Gate()

    @task
    def slow() -> None:
        begun.open()
        go_on.wait()
        finished.append(True)

    @task
    async def fails() -> None:
        await begun.passed()
        asyncio.get_running_loop().call_later(0.02, go_on.open)
        raise KeyError("first")

    @entrypoint(checkpointer=saver)
    async def flow(x: int) -> None:
        await asyncio.gather(slow(), fails())

    with pytest.raises(KeyError, match="first"):
        asyncio.run(flow.ainvoke(1, thread()))
    assert finished == [True]


def test_a_failing_blocking_run_waits_for_tasks_under_way_and_drops_those_not_begun(saver: Checkpointer) -> None:
    begun, go_on, ran = Gate(), Gate(), []

    @task
    def slow(x: int) -> None:
        begun.open()
        go_on.wait()
        ran.append(x)

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> None:
        slow(1)
        slow(2)
        begun.wait()
        threading.Timer(0.02, go_on.open).start()
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        flow.invoke(1, thread(max_concurrency=1))
    assert ran == [1]


def cancelled_from_outside(task_is_async: bool, saver: Checkpointer) -> tuple[Any, list[str], Gate]:
    begun, go_on, ran = Gate(), Gate(), []
    colour = Colour(True, task_is_async)

    @colour.task
    async def slow() -> str:
        begun.open()
        try:
            await go_on.passed()
        except asyncio.CancelledError:
            ran.append("cancelled")
            raise
        ran.append("slow")
        return "slow"

    @colour.task
    async def after() -> str:
        ran.append("after")
        return "after"

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> str:
        await result(slow())
        return str(await result(after()))

    async def run() -> None:
        running = asyncio.ensure_future(flow.ainvoke(1, thread()))
        await begun.passed()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        if not task_is_async:
            assert ran == []
            go_on.open()
            while not ran:
                await asyncio.sleep(0.001)

    asyncio.run(run())
    return flow, ran, go_on


def test_cancelling_ainvoke_cancels_the_running_async_task(saver: Checkpointer) -> None:
    flow, ran, go_on = cancelled_from_outside(True, saver)
    assert ran == ["cancelled"]
    go_on.open()
    assert asyncio.run(flow.ainvoke(None, thread())) == "after"
    assert ran == ["cancelled", "slow", "after"]


def test_a_running_blocking_task_goes_on_as_an_orphan_and_nothing_after_it_runs(saver: Checkpointer) -> None:
    flow, ran, _ = cancelled_from_outside(False, saver)
    assert ran == ["slow"]
    assert asyncio.run(flow.ainvoke(None, thread())) == "after"


def test_cancelling_ainvoke_of_a_blocking_workflow_stops_it_at_its_next_task(saver: Checkpointer) -> None:
    begun, go_on, ran = Gate(), Gate(), []

    @task
    def step(x: int) -> None:
        begun.open()
        go_on.wait()
        ran.append(x)

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> str:
        step(1).result()
        step(2).result()
        return "done"

    async def run() -> None:
        running = asyncio.ensure_future(flow.ainvoke(1, thread()))
        await begun.passed()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(run())
    go_on.open()
    assert flow.invoke(None, thread()) == "done"  # waits for the orphan
    assert ran == [1, 2]


def test_cancelling_ainvoke_of_a_blocking_workflow_cancels_its_running_async_task(saver: Checkpointer) -> None:
    begun, go_on, ended, ran = Gate(), Gate(), threading.Event(), []

    @task
    async def step() -> str:
        begun.open()
        try:
            await go_on.passed()
        except asyncio.CancelledError:
            ran.append("cancelled")
            ended.set()
            raise
        return "done"

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> str:
        return step().result()

    async def run() -> None:
        running = asyncio.ensure_future(flow.ainvoke(1, thread()))
        await begun.passed()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await asyncio.to_thread(ended.wait, PATIENCE_S)

    asyncio.run(run())
    assert ran == ["cancelled"]
    go_on.open()
    assert flow.invoke(None, thread()) == "done"


def test_cancelling_a_future_cancels_that_call_alone_and_it_runs_again_on_resume(saver: Checkpointer) -> None:
    ran: list[str] = []
    patient = True
    forever = Gate()

    @task
    async def slow() -> str:
        ran.append("slow")
        if patient:
            try:
                await forever.passed()
            except asyncio.CancelledError:
                ran.append("cancelled")
                raise
        return "slow"

    @task
    async def quick() -> str:
        ran.append("quick")
        return "quick"

    @entrypoint(checkpointer=saver)
    async def flow(x: int) -> list[str]:
        first, second = slow(), quick()
        found = [await second]
        if patient:
            first.cancel()
            try:
                await first
            except asyncio.CancelledError:
                found.append("it was cancelled")
            assert first.cancelled()
            raise KeyError("broken")
        return [*found, await first]

    with pytest.raises(KeyError):
        asyncio.run(flow.ainvoke(1, thread()))
    assert sorted(ran) == ["cancelled", "quick", "slow"]
    patient = False
    assert asyncio.run(flow.ainvoke(None, thread())) == ["quick", "slow"]
    assert sorted(ran) == ["cancelled", "quick", "slow", "slow"]


@pytest.mark.parametrize("limit", [None, 60])
def test_a_cancelled_error_of_the_users_own_names_the_task(colour: Colour, limit: float | None) -> None:
    own = asyncio.CancelledError("my own")

    @colour.task(**({"timeout": limit} if limit and colour.task_is_async else {}))
    async def confused() -> None:
        raise own

    @colour.task
    async def fine() -> int:
        return 1

    @colour.entrypoint
    async def flow(x: int) -> None:
        other, broken = fine(), confused()
        assert await result(other) == 1
        await result(broken)

    with pytest.raises(NodeCancelledError) as caught:
        colour.invoke(flow, 1)
    assert caught.value.node == "confused"
    assert caught.value.__cause__ is own


def test_a_workflow_that_raises_cancelled_error_by_itself_is_named(colour: Colour) -> None:
    @colour.entrypoint
    async def flow(x: int) -> None:
        raise asyncio.CancelledError

    with pytest.raises(NodeCancelledError) as caught:
        colour.invoke(flow, 1)
    assert caught.value.node == "flow"


def test_a_cancelled_run_says_so_in_its_state_and_is_continued_with_none(saver: Checkpointer) -> None:
    flow, _, go_on = cancelled_from_outside(True, saver)
    state = flow.get_state(thread())
    assert state.next == ("flow",)
    assert "CancelledError" in state.tasks[0].error
    go_on.open()
    assert flow.get_state(thread()).interrupts == ()


def test_a_record_that_is_being_kept_when_the_run_is_cancelled_is_kept(tmp_path: Any) -> None:
    from clew import SqliteSaver

    ran: list[int] = []
    saver = SqliteSaver(tmp_path / "threads.db")

    @task
    async def quick() -> int:
        ran.append(1)
        asyncio.get_running_loop().call_soon(running[0].cancel)
        return 1

    @entrypoint(checkpointer=saver)
    async def flow(x: int) -> int:
        return await quick()

    running: list[asyncio.Task[Any]] = []

    async def run() -> None:
        running.append(asyncio.ensure_future(flow.ainvoke(1, thread())))
        with pytest.raises(asyncio.CancelledError):
            await running[0]
        assert await flow.ainvoke(None, thread()) == 1

    asyncio.run(run())
    assert ran == [1]
    saver.close()


def test_an_error_that_nobody_asked_for_is_logged(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    @colour.task
    async def fails() -> None:
        raise KeyError("unheard")

    @colour.entrypoint
    async def flow(x: int) -> str:
        fails()
        return "fine"

    with caplog.at_level(logging.ERROR, "clew"):
        assert colour.invoke(flow, 1) == "fine"
    assert "'fails' failed and nobody asked for its result" in caplog.text


def test_when_a_blocking_workflow_fails_its_running_async_tasks_are_cancelled(saver: Checkpointer) -> None:
    begun, never, seen = Gate(), Gate(), []

    @task
    async def endless() -> None:
        begun.open()
        try:
            await never.passed()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> None:
        endless()
        begun.wait()
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        flow.invoke(1, thread())
    assert seen == ["cancelled"]


def test_a_call_that_is_cancelled_before_it_began_gives_its_place_back() -> None:
    go_on, ran = Gate(), []

    @task
    def step(x: int) -> int:
        go_on.wait()
        ran.append(x)
        return x

    @entrypoint
    def flow(x: int) -> list[int]:
        first, second, third = step(1), step(2), step(3)
        assert second.cancel()
        assert second.cancelled()
        go_on.open()
        return [first.result(), third.result()]

    assert flow.invoke(1, {"max_concurrency": 1}) == [1, 3]
    assert ran == [1, 3]


def test_a_caught_validation_error_is_caught_again_on_replay(saver: Checkpointer, colour: Colour) -> None:
    class Order(pydantic.BaseModel):
        amount: int

    @colour.task
    async def parse(text: str) -> int:
        return Order.model_validate({"amount": text}).amount

    @colour.entrypoint(checkpointer=saver)
    async def flow(text: str) -> Any:
        try:
            return await result(parse(text))
        except pydantic.ValidationError as error:
            return error.errors()[0]["type"], interrupt("which amount?")

    colour.invoke(flow, "many", thread())
    assert colour.invoke(flow, Command(resume=5), thread()) == ("int_parsing", 5)


def test_a_call_that_was_made_runs_although_another_fails_at_once(saver: Checkpointer) -> None:
    ran: list[str] = []

    @task
    def fine() -> str:
        ran.append("fine")
        return "fine"

    @task
    def broken() -> str:
        ran.append("broken")
        if ran.count("broken") == 1:
            raise OSError("down")
        return "mended"

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> list[str]:
        first, second = fine(), broken()
        return [second.result(), first.result()]

    with pytest.raises(OSError, match="down"):
        flow.invoke(1, thread())
    assert sorted(ran) == ["broken", "fine"]
    assert flow.invoke(None, thread()) == ["mended", "fine"]
    assert sorted(ran) == ["broken", "broken", "fine"]
