"""Calls of tasks: they start at once, run side by side, give futures, and their errors are not lost."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from typing import Any

import pytest

from clew import BaseStore, Checkpointer, Command, TaskFuture, entrypoint, interrupt, task
from clew.errors import NotRecordable
from clew.runner import pools
from support.colours import PATIENCE_S, Colour, Gate, Meeting, passing, result, results, thread

IN_ASYNC_WORKFLOWS = pytest.mark.parametrize("colour", [Colour(True, False), Colour(True, True)], ids=str)


class TestFuture:
    def test_a_call_starts_by_itself(self, colour: Colour) -> None:
        """Nobody asks for its result, and yet it runs while the workflow goes on."""
        started = Gate()

        @colour.task
        def start() -> None:
            started.open()

        @colour.entrypoint
        async def flow(number: int) -> str:
            future = start()
            await started.passed()
            await result(future)
            return "went on"

        assert colour.invoke(flow, 1) == "went on"

    def test_every_one_of_many_calls_starts_by_itself(self, colour: Colour) -> None:
        gates = [Gate() for _ in range(5)]

        @colour.task
        def start(place: int) -> int:
            gates[place].open()
            return place

        @colour.entrypoint
        async def flow(number: int) -> Any:
            futures = [start(place) for place in range(5)]
            for gate in gates:
                await gate.passed()
            return await results(*reversed(futures))

        assert colour.invoke(flow, 1) == [4, 3, 2, 1, 0]

    def test_calls_started_before_a_result_is_asked_for_run_side_by_side(self, colour: Colour) -> None:
        meeting = Meeting(6)

        @colour.task
        async def meet(place: int) -> int:
            await meeting.all_here()
            return place

        @colour.entrypoint
        async def flow(number: int) -> Any:
            return await results(*[meet(place) for place in range(6)])

        assert colour.invoke(flow, 1) == [0, 1, 2, 3, 4, 5]

    def test_it_has_one_face_in_every_colour(self, colour: Colour) -> None:
        @colour.task
        def add(number: int) -> int:
            return number + 1

        @colour.entrypoint
        async def flow(number: int) -> Any:
            future = add(number)
            called: list[Any] = []
            future.add_done_callback(called.append)
            value = await result(future)
            await asyncio.sleep(0) if colour.workflow_is_async else None
            return value, future.done(), future.cancelled(), future.exception(), future.result(), called == [future]

        assert colour.invoke(flow, 1) == (2, True, False, None, 2, True)

    def test_in_blocking_code_it_is_a_future_of_the_standard_library(self) -> None:
        gate = Gate()

        @task
        def add(number: int) -> int:
            return number + 1

        @task
        async def add_soon(number: int) -> int:
            return number + 1

        @task
        def held() -> None:
            gate.wait()

        @entrypoint()
        def flow(number: int) -> Any:
            futures: list[Any] = [add(number), add_soon(number + 1)]
            assert all(isinstance(future, concurrent.futures.Future) for future in futures)
            done = {future.result() for future in concurrent.futures.as_completed(futures, timeout=PATIENCE_S)}
            finished, waiting = concurrent.futures.wait([add(7), add_soon(8)], timeout=PATIENCE_S)  # type: ignore[type-var]
            slow = held()
            with pytest.raises(TimeoutError):
                slow.result(timeout=0.01)
            gate.open()
            assert slow.result(timeout=PATIENCE_S) is None
            return done, {future.result() for future in finished}, waiting

        assert flow.invoke(1) == ({2, 3}, {8, 9}, set())

    @IN_ASYNC_WORKFLOWS
    def test_in_async_code_it_is_a_future_of_the_loop(self, colour: Colour) -> None:
        gate = Gate()

        @colour.task
        async def add(number: int) -> int:
            await gate.passed()
            return number + 1

        @entrypoint()
        async def flow(number: int) -> Any:
            futures = [add(number), add(number + 1)]
            assert all(isinstance(future, asyncio.Future) for future in futures)
            with pytest.raises(asyncio.InvalidStateError):
                futures[0].result()
            gate.open()
            gathered = await asyncio.gather(*futures)
            done, waiting = await asyncio.wait([add(5)])
            return gathered, [future.result() for future in done], waiting, futures[0].result(), await futures[0]

        assert asyncio.run(flow.ainvoke(1)) == ([2, 3], [6], set(), 2, 2)

    @IN_ASYNC_WORKFLOWS
    def test_in_async_code_it_may_be_bounded_and_grouped(self, colour: Colour) -> None:

        @colour.task
        def add(number: int) -> int:
            return number + 1

        @entrypoint()
        async def flow(number: int) -> Any:
            async def through(number: int) -> int:
                return await add(number)

            async with asyncio.TaskGroup() as group:
                grouped = [group.create_task(through(n)) for n in (1, 2)]
            bounded = await asyncio.wait_for(add(5), PATIENCE_S)
            return [task.result() for task in grouped], bounded, [await f for f in asyncio.as_completed([add(8)])]

        assert asyncio.run(flow.ainvoke(1)) == ([2, 3], 6, [9])

    @pytest.mark.parametrize("is_async", [False, True])
    def test_under_ainvoke_blocking_code_has_result(self, is_async: bool) -> None:
        colour = Colour(False, is_async)

        @colour.task
        def add(number: int) -> int:
            return number + 1

        @entrypoint()
        def flow(number: int) -> int:
            first, second = add(number), add(number)
            return first.result() + second.result()

        assert asyncio.run(flow.ainvoke(1)) == 4

    def test_a_result_may_be_asked_for_many_times(self, colour: Colour) -> None:
        ran = []

        @colour.task
        def add(number: int) -> int:
            ran.append(number)
            return number + 1

        @colour.entrypoint
        async def flow(number: int) -> Any:
            future = add(number)
            return [await result(future) for _ in range(3)]

        assert colour.invoke(flow, 1) == [2, 2, 2]
        assert ran == [1]

    def test_an_error_is_the_same_object_each_time(self, colour: Colour) -> None:
        failure = KeyError("lost")

        @colour.task
        def fail() -> None:
            raise failure

        @colour.entrypoint
        async def flow(number: int) -> Any:
            future, caught = fail(), []
            for _ in range(2):
                with pytest.raises(KeyError) as error:
                    await result(future)
                caught.append(error.value)
            return [error is failure for error in caught], future.exception() is failure

        assert colour.invoke(flow, 1) == ([True, True], True)


class TestDepth:
    def test_a_task_may_call_tasks_to_any_depth(self, colour: Colour, saver: Checkpointer) -> None:
        @colour.task
        async def count_down(number: int) -> int:
            return 0 if number == 0 else 1 + await result(count_down(number - 1))

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int) -> int:
            return await result(count_down(number))

        assert colour.invoke(flow, 20, thread()) == 20

    def test_a_task_may_fan_out_and_so_may_its_tasks(self, colour: Colour) -> None:
        meeting = Meeting(9)

        @colour.task
        async def leaf(place: int) -> int:
            await meeting.all_here()
            return place

        @colour.task
        async def branch(place: int) -> int:
            return sum(await results(*[leaf(place * 3 + each) for each in range(3)]))

        @colour.entrypoint
        async def flow(number: int) -> int:
            return sum(await results(*[branch(place) for place in range(3)]))

        assert colour.invoke(flow, 1) == sum(range(9))

    def test_wide_trees_whose_parents_wait_for_children_come_to_an_end(self, colour: Colour) -> None:
        """More calls wait for calls than there are OS threads in the pool."""

        @colour.task
        def leaf() -> int:
            return 1

        @colour.task
        async def branch() -> int:
            return sum(await results(leaf(), leaf()))

        @colour.entrypoint
        async def flow(number: int) -> int:
            return sum(await results(*[branch() for _ in range(number)]))

        assert colour.invoke(flow, 300) == 600

    def test_a_wait_with_a_time_limit_ends_although_every_os_thread_waits_so(
        self, colour: Colour, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pools, "_made", {})
        monkeypatch.setattr(pools, "MOST_THREADS", 2)
        meeting = Meeting(2)

        @colour.task
        def leaf() -> int:
            return 1

        @colour.task
        async def branch() -> int:
            await meeting.all_here()
            return sum(await results(leaf(), leaf()))

        @colour.entrypoint
        async def flow(number: int) -> Any:
            return await results(branch(), branch())

        assert colour.invoke(flow, 1) == [2, 2]

    def test_calls_left_under_way_end_although_every_os_thread_waits_for_them(
        self, colour: Colour, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pools, "_made", {})
        monkeypatch.setattr(pools, "MOST_THREADS", 2)
        meeting, ended = Meeting(2), []

        @colour.task
        def leaf(name: str) -> None:
            ended.append(name)

        @colour.task
        async def branch() -> None:
            await meeting.all_here()
            leaf("a")
            leaf("b")

        @colour.entrypoint
        async def flow(number: int) -> None:
            await results(branch(), branch())

        colour.invoke(flow, 1)
        assert sorted(ended) == ["a", "a", "b", "b"]


class TestUnawaitedCalls:
    def test_the_run_ends_when_every_started_call_has_ended(self, colour: Colour, saver: Checkpointer) -> None:
        gate = Gate()
        ended: list[str] = []

        @colour.task
        async def slow() -> str:
            await gate.passed()
            ended.append("slow")
            return "slow"

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int) -> str:
            slow()
            gate.open()
            return "flow"

        assert colour.invoke(flow, 1, thread()) == "flow"
        assert ended == ["slow"]

    def test_updates_of_calls_nobody_awaited_come_after_the_workflows_own(self, colour: Colour) -> None:
        gate = Gate()

        @colour.task
        async def slow() -> str:
            await gate.passed()
            return "slow"

        @colour.entrypoint
        async def flow(number: int) -> str:
            slow()
            return "flow"

        chunks = []
        for chunk in flow.stream(1):
            chunks.append(chunk)
            gate.open()
        assert chunks == [{"flow": "flow"}, {"slow": "slow"}]

    def test_calls_that_a_task_left_under_way_end_before_it_does(self, colour: Colour) -> None:
        order: list[str] = []

        @colour.task
        def inner() -> None:
            order.append("inner")

        @colour.task
        def outer() -> None:
            inner()

        @colour.entrypoint
        async def flow(number: int) -> Any:
            await result(outer())
            order.append("after outer")

        colour.invoke(flow, 1)
        assert order == ["inner", "after outer"]

    def test_an_error_that_nobody_asked_for_is_logged(
        self, colour: Colour, saver: Checkpointer, caplog: pytest.LogCaptureFixture
    ) -> None:
        @colour.task
        def fail() -> None:
            raise KeyError("lost")

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int) -> str:
            fail()
            return "done"

        with caplog.at_level(logging.WARNING, logger="clew"):
            assert colour.invoke(flow, 1, thread()) == "done"
        assert "'fail' failed and nobody asked for its result: KeyError('lost')" in caplog.text
        assert caplog.records[0].exc_info is not None

    def test_an_error_that_nobody_asked_for_is_seen_in_the_stream_and_in_the_state(
        self, colour: Colour, saver: Checkpointer
    ) -> None:
        @colour.task
        def fail() -> None:
            raise KeyError("lost")

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int) -> str:
            fail()
            return "done"

        ends = [
            e for e in colour.stream(flow, 1, thread(), stream_mode="tasks") if "error" in e and e["name"] == "fail"
        ]
        assert [repr(end["error"]) for end in ends] == ["KeyError('lost')"]
        metadata = flow.get_state(thread()).metadata
        assert metadata is not None
        assert "KeyError('lost')" in metadata["unheard_errors"]

    def test_an_error_that_nobody_asked_for_is_logged_although_the_workflow_fails(
        self, colour: Colour, caplog: pytest.LogCaptureFixture
    ) -> None:
        meeting = Meeting(2)

        @colour.task
        async def fail(text: str) -> None:
            await meeting.all_here()
            raise KeyError(text)

        @colour.entrypoint
        async def flow(number: int) -> None:
            first, second = fail("first"), fail("second")
            while not second.done():
                await passing()
            await result(first)

        with pytest.raises(KeyError, match="first"):
            colour.invoke(flow, 1)
        assert "KeyError('second')" in caplog.text
        assert "KeyError('first')" not in caplog.text

    def test_an_error_that_was_asked_for_is_not_logged(self, colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
        @colour.task
        def fail() -> None:
            raise KeyError("lost")

        @colour.entrypoint
        async def flow(number: int) -> Any:
            with pytest.raises(KeyError):
                await result(fail())
            return number

        assert colour.invoke(flow, 1) == 1
        assert caplog.text == ""

    @IN_ASYNC_WORKFLOWS
    def test_an_error_in_a_gathering_that_was_awaited_is_not_logged(
        self, colour: Colour, caplog: pytest.LogCaptureFixture
    ) -> None:

        @colour.task
        def fail(text: str) -> None:
            raise KeyError(text)

        @entrypoint()
        async def flow(number: int) -> Any:
            found = await asyncio.gather(fail("a"), fail("b"), return_exceptions=True)
            done, _ = await asyncio.wait([fail("c")])
            return [repr(each) for each in found], [repr(each.exception()) for each in done]

        assert asyncio.run(flow.ainvoke(1)) == (["KeyError('a')", "KeyError('b')"], ["KeyError('c')"])
        assert caplog.text == ""

    def test_an_error_that_nobody_asked_for_in_a_task_is_logged_too(
        self, colour: Colour, caplog: pytest.LogCaptureFixture
    ) -> None:
        @colour.task
        def fail() -> None:
            raise KeyError("lost")

        @colour.task
        def outer() -> str:
            fail()
            return "outer"

        @colour.entrypoint
        async def flow(number: int) -> Any:
            return await result(outer())

        assert colour.invoke(flow, 1) == "outer"
        assert "'fail' failed" in caplog.text

    def test_an_interrupt_that_nobody_awaited_stops_the_run_all_the_same(
        self, colour: Colour, saver: Checkpointer
    ) -> None:
        @colour.task
        def ask() -> Any:
            return interrupt("why?")

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int) -> str:
            ask()
            return "done"

        asked = colour.invoke(flow, 1, thread())
        assert [question.value for question in asked["__interrupt__"]] == ["why?"]
        assert colour.invoke(flow, Command(resume="so"), thread()) == "done"


class TestReturnedFuture:
    def test_without_a_checkpointer_it_is_returned_as_it_is(self, colour: Colour) -> None:
        @colour.task
        def add(number: int) -> int:
            return number + 1

        @colour.entrypoint
        def flow(number: int) -> TaskFuture[int]:
            future: TaskFuture[int] = add(number)
            return future

        future = colour.invoke(flow, 1)
        assert future.done()
        assert future.result() == 2

    def test_with_a_checkpointer_it_is_refused_by_name(self, colour: Colour, saver: Checkpointer) -> None:
        @colour.task
        def add(number: int) -> int:
            return number + 1

        @colour.entrypoint(checkpointer=saver)
        def flow(number: int) -> Any:
            return {"sum": [add(number)]}

        with pytest.raises(NotRecordable, match=r"'flow' returned.*\['sum'\]\[0\] is a future.*await") as error:
            colour.invoke(flow, 1, thread())
        assert isinstance(error.value, TypeError)

    def test_passed_to_another_task_it_is_refused_or_simply_passed(self, colour: Colour, store: BaseStore) -> None:
        """Arguments need not be recorded, so a future may be one."""

        @colour.task
        def add(number: int) -> int:
            return number + 1

        @colour.task
        async def add_to(future: Any) -> Any:
            return future is not None

        @colour.entrypoint(store=store)
        async def flow(number: int) -> Any:
            return await result(add_to(add(number)))

        assert colour.invoke(flow, 1) is True


def test_asking_an_unfinished_call_for_its_result_in_async_code_says_to_await_it() -> None:
    @task
    async def work() -> int:
        return 1

    @entrypoint
    async def flow(x: int) -> int:
        future = work()
        with pytest.raises(asyncio.InvalidStateError, match="await it"):
            future.result()
        return await future

    assert flow.invoke(1) == 1
