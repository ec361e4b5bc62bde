"""What the verbs of a workflow take, refuse and return."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from clew import (
    Checkpointer,
    Command,
    InMemorySaver,
    Output,
    StateSnapshot,
    entrypoint,
    get_config,
    interrupt,
    task,
)
from clew.errors import UsageError
from support.colours import PATIENCE_S, Colour, Gate, Meeting, result, results, thread


@entrypoint()
def echo(value: Any) -> Any:
    return value


@entrypoint()
async def echo_soon(value: Any) -> Any:
    return value


class TestReturnedValue:
    @pytest.mark.parametrize("value", [None, False, 0, "", [], {}, (), 0.0, 7, "text", {"a": [1]}, {1, 2}])
    def test_it_is_what_the_function_returned_falsy_or_not(
        self, colour: Colour, saver: Checkpointer, value: Any
    ) -> None:
        @colour.entrypoint(checkpointer=saver)
        def flow(number: int) -> Any:
            return value

        returned = colour.invoke(flow, 1, thread())
        assert returned == value
        assert type(returned) is type(value)

    def test_without_a_checkpointer_anything_may_be_returned(self, colour: Colour) -> None:
        thing = threading.Lock()

        @colour.task
        def make() -> Any:
            return thing

        @colour.entrypoint
        async def flow(given: Any) -> Any:
            return [given, await result(make())]

        assert colour.invoke(flow, thing) == [thing, thing]

    def test_a_final_gives_its_value(self, colour: Colour, saver: Checkpointer) -> None:
        @colour.entrypoint(checkpointer=saver)
        def flow(number: int) -> entrypoint.final[int, str]:
            return entrypoint.final(value=number, save="kept")

        assert colour.invoke(flow, 3, thread()) == 3

    def test_an_interrupted_run_gives_its_questions_alone(self, colour: Colour, saver: Checkpointer) -> None:
        @colour.entrypoint(checkpointer=saver)
        def flow(number: int) -> Any:
            return interrupt("why?")

        returned = colour.invoke(flow, 1, thread())
        assert list(returned) == ["__interrupt__"]
        assert [question.value for question in returned["__interrupt__"]] == ["why?"]

    def test_version_two_gives_an_object(self, colour: Colour, saver: Checkpointer) -> None:
        @colour.entrypoint(checkpointer=saver)
        def flow(number: int) -> Any:
            return interrupt("why?")

        asked = colour.invoke(flow, 1, thread(), version="v2")
        assert isinstance(asked, Output)
        assert (asked.value, [question.value for question in asked.interrupts]) == (None, ["why?"])
        done = colour.invoke(flow, Command(resume="so"), thread(), version="v2")
        assert (done.value, done.interrupts) == ("so", ())

    def test_another_stream_mode_gives_the_list_of_chunks(self, colour: Colour) -> None:
        @colour.task
        def add(number: int) -> int:
            return number + 1

        @colour.entrypoint
        async def flow(number: int) -> int:
            return await result(add(number)) * 2

        assert colour.invoke(flow, 1, stream_mode="values") == 4
        assert colour.invoke(flow, 1, stream_mode="updates") == [{"add": 2}, {"flow": 4}]
        assert colour.invoke(flow, 1, stream_mode=["values"]) == [("values", 4)]


class TestConfig:
    def test_its_parts_reach_the_function(self, colour: Colour) -> None:
        config = {"configurable": {"user": "ann"}, "metadata": {"a": 1}, "tags": ["x"], "callbacks": [], "other": 5}

        @colour.task
        def inner(config: Any) -> Any:
            return config

        @colour.entrypoint
        async def flow(number: int, config: Any) -> Any:
            return [config, await result(inner()), get_config()]

        for seen in colour.invoke(flow, 1, config):
            assert {key: seen[key] for key in config} == config

    def test_bound_values_are_merged_with_those_of_the_call(self, colour: Colour) -> None:
        @colour.entrypoint
        def flow(number: int, config: Any) -> Any:
            return config

        bound = flow.with_config(
            {"configurable": {"a": 1, "b": 1}, "metadata": {"m": 1, "n": 1}, "tags": ["x"], "recursion_limit": 5}
        )
        call = {"configurable": {"b": 2, "c": 2}, "metadata": {"n": 2}, "tags": ["y"], "recursion_limit": 9}
        assert colour.invoke(bound, 1, call) == {
            "configurable": {"a": 1, "b": 2, "c": 2},
            "metadata": {"m": 1, "n": 2},
            "tags": ["x", "y"],
            "recursion_limit": 9,
        }
        assert colour.invoke(bound, 1)["configurable"] == {"a": 1, "b": 1}
        assert colour.invoke(flow, 1).get("configurable", {}) == {}

    def test_a_thread_may_be_bound(self, colour: Colour, saver: Checkpointer) -> None:
        @colour.entrypoint(checkpointer=saver)
        def flow(number: int, *, previous: int = 0) -> int:
            return previous + number

        bound = flow.with_config(configurable={"thread_id": "1"})
        assert [colour.invoke(bound, 1), colour.invoke(bound, 1), colour.invoke(flow, 1, thread("1"))] == [1, 2, 3]
        assert bound.get_state({}).values == 3

    @pytest.mark.parametrize("thread_id", [7, uuid.UUID(int=7), 1.5])
    def test_a_thread_id_is_turned_to_text(self, colour: Colour, saver: Checkpointer, thread_id: Any) -> None:
        @colour.entrypoint(checkpointer=saver)
        def flow(number: int, *, previous: int = 0) -> int:
            return previous + number

        ids = (thread_id, str(thread_id))
        assert [colour.invoke(flow, 1, {"configurable": {"thread_id": id}}) for id in ids] == [1, 2]

    def test_a_thread_id_without_a_text_of_its_own_is_refused(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(number: int) -> int:
            return number

        with pytest.raises(UsageError, match="thread_id'] must be text, a number or a UUID"):
            flow.invoke(1, {"configurable": {"thread_id": object()}})

    @pytest.mark.parametrize("config", [None, {}, {"configurable": {}}, {"configurable": {"thread_id": None}}])
    def test_a_checkpointer_without_a_thread_is_refused_before_any_code_runs(
        self, colour: Colour, saver: Checkpointer, config: Any
    ) -> None:
        ran = []

        @colour.entrypoint(checkpointer=saver)
        def flow(number: int) -> None:
            ran.append(number)

        with pytest.raises(ValueError, match="thread_id"):
            colour.invoke(flow, 1, config)
        with pytest.raises(ValueError, match="thread_id"):
            colour.stream(flow, 1, config)
        assert ran == []

    def test_without_a_checkpointer_a_thread_is_ignored(self, colour: Colour) -> None:
        @colour.entrypoint
        def flow(number: int, *, previous: Any = None) -> Any:
            return previous

        assert [colour.invoke(flow, 1, thread()) for _ in range(2)] == [None, None]

    @pytest.mark.parametrize(
        ("config", "what"),
        [
            ("thread-1", "config"),
            ({"configurable": "thread-1"}, "configurable"),
            ({"metadata": 3}, "metadata"),
            ({"tags": "x"}, "tags"),
            ({"max_concurrency": 0}, "max_concurrency"),
            ({"max_concurrency": "two"}, "max_concurrency"),
            ({"configurable": {"thread_id": ["1"]}}, "thread_id"),
        ],
    )
    def test_a_malformed_config_is_refused_by_name(self, colour: Colour, config: Any, what: str) -> None:
        flow = echo_soon if colour.workflow_is_async else echo
        with pytest.raises(Exception, match=what):
            colour.invoke(flow, 1, config)


class TestContinuing:
    def test_no_input_runs_what_was_left_unfinished(self, colour: Colour, saver: Checkpointer) -> None:
        ran: list[str] = []

        @colour.task
        def first(number: int) -> int:
            ran.append("first")
            return number + 1

        @colour.task
        def second(number: int) -> int:
            ran.append("second")
            if ran.count("second") == 1:
                raise ConnectionError("down")
            return number * 2

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int) -> int:
            return await result(second(await result(first(number))))

        with pytest.raises(ConnectionError, match="down"):
            colour.invoke(flow, 1, thread())
        assert colour.invoke(flow, None, thread()) == 4
        assert ran == ["first", "second", "second"]

    def test_no_input_on_a_finished_thread_gives_its_last_value_without_running(
        self, colour: Colour, saver: Checkpointer
    ) -> None:
        ran = []

        @colour.entrypoint(checkpointer=saver)
        def flow(number: int) -> int:
            ran.append(number)
            return number

        assert [colour.invoke(flow, 5, thread()), colour.invoke(flow, None, thread())] == [5, 5]
        assert ran == [5]

    def test_no_input_with_nothing_saved_is_refused(self, colour: Colour, saver: Checkpointer) -> None:
        @colour.entrypoint(checkpointer=saver)
        def flow(number: int) -> int:
            return number

        with pytest.raises(ValueError, match="no input"):
            colour.invoke(flow, None, thread())


class TestOptions:
    @pytest.mark.parametrize("verb", ["invoke", "ainvoke", "stream", "astream"])
    def test_a_misspelt_option_is_refused(self, verb: str) -> None:
        with pytest.raises(TypeError, match="contxt"):
            getattr(echo, verb)(1, contxt=3)

    def test_a_misspelt_durability_is_refused(self, colour: Colour) -> None:
        with pytest.raises(ValueError, match="durability"):
            colour.invoke(echo, 1, durability="synch")
        with pytest.raises(ValueError, match="durability"):
            colour.stream(echo, 1, durability="synch")

    def test_a_misspelt_stream_mode_is_refused(self, colour: Colour) -> None:
        with pytest.raises(ValueError, match="stream_mode"):
            colour.invoke(echo, 1, stream_mode="update")
        with pytest.raises(ValueError, match="stream_mode"):
            colour.stream(echo, 1, stream_mode=["values", "update"])

    def test_a_misspelt_version_is_refused(self, colour: Colour) -> None:
        with pytest.raises(ValueError, match="version"):
            colour.invoke(echo, 1, version="v3")
        with pytest.raises(ValueError, match="version"):
            colour.stream(echo, 1, version="v3")

    @pytest.mark.parametrize("durability", [None, "sync", "async", "exit"])
    def test_each_durability_is_taken(self, colour: Colour, saver: Checkpointer, durability: Any) -> None:
        @colour.entrypoint(checkpointer=saver)
        def flow(number: int) -> int:
            return number

        assert colour.invoke(flow, 1, thread(), durability=durability, debug=True) == 1
        assert colour.stream(flow, 1, thread(), durability=durability, debug=False) == [{"flow": 1}]


class TestVerbs:
    def test_all_are_there_in_both_colours(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        def flow(number: int, *, previous: int = 0) -> int:
            return previous + number

        async def use() -> None:
            config = thread("async")
            assert await flow.ainvoke(1, config) == 1
            assert [chunk async for chunk in flow.astream(1, config)] == [{"flow": 2}]
            assert (await flow.aget_state(config)).values == 2
            assert [s.values async for s in flow.aget_state_history(config) if not s.next] == [2, 1]
            await flow.aupdate_state(config, 10)
            assert await flow.abatch([1, 2], [config, thread("other")]) == [11, 2]

        asyncio.run(use())
        config = thread("blocking")
        assert flow.invoke(1, config) == 1
        assert list(flow.stream(1, config)) == [{"flow": 2}]
        state = flow.get_state(config)
        assert isinstance(state, StateSnapshot)
        assert state.values == 2
        assert [s.values for s in flow.get_state_history(config) if not s.next] == [2, 1]
        flow.update_state(config, 10)
        assert flow.batch([1, 2], [config, thread("another")]) == [11, 2]

    def test_batches_give_values_in_order_and_raise_what_was_raised(self) -> None:
        @entrypoint()
        def invert(number: int) -> float:
            return 1 / number

        assert invert.batch([1, 2, 4]) == [1, 0.5, 0.25]
        assert asyncio.run(invert.abatch([1, 2, 4])) == [1, 0.5, 0.25]
        assert invert.batch([]) == []
        with pytest.raises(ZeroDivisionError):
            invert.batch([1, 0])
        with pytest.raises(ZeroDivisionError):
            asyncio.run(invert.abatch([1, 0]))
        with pytest.raises(ValueError, match="2 inputs and 1 configs"):
            invert.batch([1, 2], [{}])
        for given in (
            invert.batch([2, 0], return_exceptions=True),
            asyncio.run(invert.abatch([2, 0], return_exceptions=True)),
        ):
            assert given[0] == 0.5
            assert isinstance(given[1], ZeroDivisionError)

    def test_a_batch_that_fails_has_ended_whole(self) -> None:
        gate, ended = Gate(), list[int]()

        @entrypoint()
        def flow(number: int) -> None:
            if number == 0:
                gate.open()
                raise ValueError("no")
            gate.wait()
            ended.append(number)

        with pytest.raises(ValueError, match="no"):
            flow.batch([0, 1, 2])
        assert sorted(ended) == [1, 2]


class TestColoursOfCalls:
    """Every pair of workflow and task runs by every verb."""

    @staticmethod
    def flow(colour: Colour) -> Any:
        @colour.task
        def add(number: int) -> int:
            return number + 1

        @colour.entrypoint
        async def flow(number: int) -> int:
            return sum(await results(add(number), add(number))) + await result(add(number))

        return flow

    def test_by_invoke(self, colour: Colour) -> None:
        assert self.flow(colour).invoke(1) == 6

    def test_by_ainvoke(self, colour: Colour) -> None:
        assert asyncio.run(self.flow(colour).ainvoke(1)) == 6

    def test_by_stream(self, colour: Colour) -> None:
        assert list(self.flow(colour).stream(1, stream_mode="values")) == [6]

    def test_by_astream(self, colour: Colour) -> None:
        async def read() -> list[Any]:
            return [chunk async for chunk in self.flow(colour).astream(1, stream_mode="values")]

        assert asyncio.run(read()) == [6]

    def test_by_invoke_where_a_loop_is_running_as_in_notebooks(self, colour: Colour) -> None:
        async def notebook() -> Any:
            flow = self.flow(colour)
            return flow.invoke(1), list(flow.stream(1, stream_mode="values")), flow.batch([1, 2])

        assert asyncio.run(notebook()) == (6, [6], [6, 9])

    def test_a_blocking_task_under_an_async_caller_runs_off_the_loop(self) -> None:
        @task
        def where() -> int:
            return threading.get_ident()

        @entrypoint()
        async def soon(number: int) -> int:
            return await where()

        @entrypoint()
        def blocking(number: int) -> tuple[int, int]:
            return threading.get_ident(), where().result()

        async def call() -> None:
            loop = threading.get_ident()
            assert await soon.ainvoke(1) != loop
            assert loop not in await blocking.ainvoke(1)

        asyncio.run(call())

    def test_an_awaited_sequence_in_blocking_code_needs_no_other_thread(self) -> None:
        @task
        def where() -> int:
            return threading.get_ident()

        @entrypoint()
        def flow(number: int) -> list[int]:
            return [where().result() for _ in range(3)]

        assert set(flow.invoke(1)) == {threading.get_ident()}


class TestManyRunsAtOnce:
    def test_runs_in_os_threads_do_not_mix(self, colour: Colour, saver: Checkpointer) -> None:
        meeting = Meeting(4)

        @colour.task
        async def add(number: int, config: Any) -> Any:
            await meeting.all_here()
            return number, config["configurable"]["thread_id"]

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int) -> Any:
            return await result(add(number))

        found: dict[int, Any] = {}

        def run(number: int) -> None:
            found[number] = colour.invoke(flow, number, thread(f"t{number}"))

        helpers = [threading.Thread(target=run, args=(number,)) for number in range(4)]
        for helper in helpers:
            helper.start()
        for helper in helpers:
            helper.join()
        assert found == {number: (number, f"t{number}") for number in range(4)}

    def test_runs_on_one_loop_do_not_mix(self, colour: Colour, saver: Checkpointer) -> None:
        meeting = Meeting(4)

        @colour.task
        async def add(number: int, config: Any) -> Any:
            await meeting.all_here()
            return number, config["configurable"]["thread_id"]

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int) -> Any:
            return await result(add(number))

        async def run() -> list[Any]:
            return await asyncio.gather(*(flow.ainvoke(number, thread(f"t{number}")) for number in range(4)))

        assert asyncio.run(run()) == [(number, f"t{number}") for number in range(4)]

    def test_runs_on_one_thread_of_a_saver_go_one_after_another(self, colour: Colour, saver: Checkpointer) -> None:
        @colour.task
        def add(a: int, b: int) -> int:
            return a + b

        @colour.entrypoint(checkpointer=saver)
        async def count(number: int, *, previous: int = 0) -> int:
            return await result(add(previous, number))

        async def run() -> list[Any]:
            return await asyncio.gather(*(count.ainvoke(1, thread()) for _ in range(5)))

        assert sorted(asyncio.run(run())) == [1, 2, 3, 4, 5]
        assert sorted(count.batch([1] * 5, thread())) == [6, 7, 8, 9, 10]

    def test_a_waiting_run_begins_when_the_first_has_ended(self, saver: Checkpointer) -> None:
        started, gate = Gate(), Gate()
        order: list[str] = []

        @entrypoint(checkpointer=saver)
        async def flow(name: str) -> None:
            order.append(f"{name} begins")
            started.open()
            await gate.passed()
            order.append(f"{name} ends")

        async def run() -> None:
            first = asyncio.create_task(flow.ainvoke("first", thread()))
            await started.passed()
            second = asyncio.create_task(flow.ainvoke("second", thread()))
            await asyncio.sleep(0.01)
            gate.open()
            await asyncio.gather(first, second)

        asyncio.run(run())
        assert order == ["first begins", "first ends", "second begins", "second ends"]

    def test_a_waiting_run_may_be_cancelled(self, saver: Checkpointer) -> None:
        started, gate = Gate(), Gate()

        @entrypoint(checkpointer=saver)
        async def flow(name: str) -> str:
            started.open()
            await gate.passed()
            return name

        async def run() -> Any:
            first = asyncio.create_task(flow.ainvoke("first", thread()))
            await started.passed()
            second = asyncio.create_task(flow.ainvoke("second", thread()))
            await asyncio.sleep(0)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            gate.open()
            return await first, await flow.ainvoke("third", thread())

        assert asyncio.run(run()) == ("first", "third")

    def test_a_run_that_is_cancelled_at_any_moment_leaves_its_thread_free(self, saver: Checkpointer) -> None:
        @entrypoint(checkpointer=saver)
        async def flow(name: str) -> str:
            await asyncio.sleep(0)
            return name

        async def run(moment: int) -> Any:
            cancelled = asyncio.create_task(flow.ainvoke("cancelled", thread(str(moment))))
            for _ in range(moment):
                await asyncio.sleep(moment * 0.00002)
            cancelled.cancel()
            await asyncio.wait([cancelled])
            assert cancelled.cancelled() or cancelled.result() == "cancelled"
            async with asyncio.timeout(PATIENCE_S):
                return await flow.ainvoke("next", thread(str(moment)))

        async def run_all() -> list[Any]:
            return [await run(moment) for moment in range(30)]

        assert asyncio.run(run_all()) == ["next"] * 30

    def test_workflows_of_one_saver_and_thread_keep_apart(self, colour: Colour) -> None:
        saver = InMemorySaver()

        def counting(name: str) -> Any:
            def count(number: int, *, previous: int = 0) -> int:
                return previous + number

            return colour.entrypoint(count, checkpointer=saver, name=name)

        first, second = counting("first"), counting("second")
        runs: list[tuple[Callable[..., Any], int]] = [(first, 1), (second, 10), (first, 1), (second, 10)]
        assert [colour.invoke(flow, number, thread()) for flow, number in runs] == [1, 10, 2, 20]  # type: ignore[arg-type]
