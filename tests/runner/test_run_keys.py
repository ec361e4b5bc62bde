"""A run that its caller has named runs once, however often and wherever it is called."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clew import Checkpointer, Command, RunStopped, SqliteSaver, entrypoint, interrupt
from clew.engine.records import ThreadKey
from clew.errors import InvalidOption, RecordedFailure
from clew.storage.base import Ask
from support.busy import TwoTasks, in_line, runs_of
from support.colours import PATIENCE_S, Colour, Gate, result, thread
from support.processes import start

KEY = "order-7"


def test_a_run_that_is_done_gives_its_kept_value_again(colour: Colour, saver: Checkpointer) -> None:
    two = TwoTasks(colour, saver)
    assert colour.invoke(two.flow, 1, thread(), run_key=KEY) == [1, None]
    assert colour.invoke(two.flow, 2, thread()) == [2, [1, None]]
    assert colour.invoke(two.flow, 1, thread(), run_key=KEY) == [1, None]
    assert two.ran == [("first", 1), ("second", 1), ("first", 2), ("second", 2)]
    assert runs_of(saver) == [(1, "done"), (2, "done")]


def test_a_stream_of_it_gives_the_value_as_well(colour: Colour, saver: Checkpointer) -> None:
    two = TwoTasks(colour, saver)
    colour.invoke(two.flow, 1, thread(), run_key=KEY)
    assert colour.stream(two.flow, 1, thread(), run_key=KEY, stream_mode="values") == [[1, None]]
    assert len(two.ran) == 2


def test_names_of_other_threads_and_other_names_are_other_runs(colour: Colour, saver: Checkpointer) -> None:
    two = TwoTasks(colour, saver)
    for name, key in (("1", "a"), ("1", "b"), ("2", "a")):
        colour.invoke(two.flow, 1, thread(name), run_key=key)
    assert len(two.ran) == 6


def test_calls_at_the_same_time_run_it_once(colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor) -> None:
    two = TwoTasks(colour, saver)
    calls = [aside.submit(colour.invoke, two.flow, 0, thread(), run_key=KEY) for _ in range(4)]
    in_line(4)
    two.gate.open()
    assert [call.result(PATIENCE_S) for call in calls] == [[0, None]] * 4
    assert two.ran == [("first", 0), ("second", 0)]


@pytest.mark.parametrize("how", ["reject", "interrupt", "rollback"])
def test_a_run_is_not_in_its_own_way(colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor, how: str) -> None:
    two = TwoTasks(colour, saver, on_conflict=how)
    calls = [aside.submit(colour.invoke, two.flow, 0, thread(), run_key=KEY) for _ in range(2)]
    in_line(2)
    two.gate.open()
    assert [call.result(PATIENCE_S) for call in calls] == [[0, None]] * 2
    assert two.ran == [("first", 0), ("second", 0)]


def test_calls_on_one_loop_run_it_once(saver: Checkpointer) -> None:
    two = TwoTasks(Colour(True, True), saver)
    two.gate.open()

    async def run() -> list[Any]:
        return await asyncio.gather(*(two.flow.ainvoke(0, thread(), run_key=KEY) for _ in range(4)))

    assert asyncio.run(run()) == [[0, None]] * 4
    assert two.ran == [("first", 0), ("second", 0)]


def test_an_interrupted_run_asks_its_questions_again(colour: Colour, saver: Checkpointer) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        return interrupt(f"{x}?")

    asked = colour.invoke(flow, 1, thread(), run_key=KEY)
    assert colour.invoke(flow, 1, thread(), run_key=KEY) == asked
    assert colour.stream(flow, 1, thread(), run_key=KEY) == [{"__interrupt__": tuple(asked["__interrupt__"])}]
    assert colour.invoke(flow, Command(resume="yes"), thread()) == "yes"
    assert colour.invoke(flow, 1, thread(), run_key=KEY) == "yes"


class Failing:
    """A workflow whose second task fails as long as it is broken."""

    def __init__(self, colour: Colour, saver: Checkpointer) -> None:
        self.is_broken = True
        self.ran: list[str] = []

        @colour.task
        async def first() -> None:
            self.ran.append("first")

        @colour.task
        async def second() -> None:
            self.ran.append("second")
            if self.is_broken:
                raise ValueError("broken")

        @colour.entrypoint(checkpointer=saver)
        async def flow(x: int) -> int:
            await result(first())
            if x == 1:
                await result(second())
            return x

        self.flow: Any = flow


def test_a_failed_run_is_gone_on_with(colour: Colour, saver: Checkpointer) -> None:
    failing = Failing(colour, saver)
    with pytest.raises(ValueError, match="broken"):
        colour.invoke(failing.flow, 1, thread(), run_key=KEY)
    failing.is_broken = False
    assert colour.invoke(failing.flow, 1, thread(), run_key=KEY) == 1
    assert failing.ran == ["first", "second", "second"]
    assert runs_of(saver) == [(1, "done")]


def test_a_failed_run_that_lies_behind_fails_as_it_did(colour: Colour, saver: Checkpointer) -> None:
    failing = Failing(colour, saver)
    with pytest.raises(ValueError, match="broken"):
        colour.invoke(failing.flow, 1, thread(), run_key=KEY)
    colour.invoke(failing.flow, 2, thread())
    with pytest.raises(RecordedFailure, match=r"ValueError: 'broken'.*newer runs") as caught:
        colour.invoke(failing.flow, 1, thread(), run_key=KEY)
    assert caught.value.name == "ValueError"
    assert failing.ran == ["first", "second", "first"]


def test_a_run_that_was_stopped_and_lies_behind_is_not_run_again(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor
) -> None:
    two = TwoTasks(colour, saver)
    first = aside.submit(colour.invoke, two.flow, 0, thread(), run_key=KEY)
    two.begun.wait()
    second = aside.submit(colour.invoke, two.flow, 1, thread(), on_conflict="interrupt")
    in_line(2)
    two.gate.open()
    second.result()
    for stopped in (first.result, lambda: colour.invoke(two.flow, 0, thread(), run_key=KEY)):
        with pytest.raises(RunStopped):
            stopped()
    assert ("second", 0) not in two.ran


def test_a_cancelled_run_is_gone_on_with(colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor) -> None:
    two = TwoTasks(colour, saver)
    first = aside.submit(colour.invoke, two.flow, 0, thread(), run_key=KEY)
    two.begun.wait()
    assert saver.execute(Ask(ThreadKey("1", "flow"), "cancel"))
    two.gate.open()
    with pytest.raises(RunStopped):
        first.result()
    assert colour.invoke(two.flow, 0, thread(), run_key=KEY) == [0, None]
    assert two.ran == [("first", 0), ("second", 0)]


def test_a_run_that_was_rolled_back_begins_anew(colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor) -> None:
    two = TwoTasks(colour, saver)
    first = aside.submit(colour.invoke, two.flow, 0, thread(), run_key=KEY)
    two.begun.wait()
    second = aside.submit(colour.invoke, two.flow, 1, thread(), on_conflict="rollback")
    in_line(2)
    two.gate.open()
    second.result()
    with pytest.raises(RunStopped):
        first.result()
    assert colour.invoke(two.flow, 0, thread(), run_key=KEY) == [0, [1, None]]


class TestRefusals:
    def test_another_input_under_the_same_name_is_refused(self, colour: Colour, saver: Checkpointer) -> None:
        two = TwoTasks(colour, saver)
        colour.invoke(two.flow, 1, thread(), run_key=KEY)
        with pytest.raises(InvalidOption, match="run_key 'order-7'"):
            colour.invoke(two.flow, 2, thread(), run_key=KEY)
        assert len(two.ran) == 2

    def test_the_order_of_what_has_none_does_not_matter(self, saver: Checkpointer) -> None:
        ran: list[Any] = []

        @entrypoint(checkpointer=saver)
        def flow(x: Any) -> None:
            ran.append(x)

        flow.invoke({"a": 1, "b": {1, 2}}, thread(), run_key=KEY)
        flow.invoke({"b": {2, 1}, "a": 1}, thread(), run_key=KEY)
        assert len(ran) == 1

    def test_a_name_without_a_checkpointer_is_refused(self, colour: Colour) -> None:
        @colour.entrypoint()
        async def flow(x: int) -> int:
            return x

        with pytest.raises(InvalidOption, match="checkpointer"):
            colour.invoke(flow, 1, run_key=KEY)

    def test_a_name_without_a_thread_is_refused(self, colour: Colour, saver: Checkpointer) -> None:
        with pytest.raises(ValueError, match="thread_id"):
            colour.invoke(TwoTasks(colour, saver).flow, 1, run_key=KEY)

    @pytest.mark.parametrize("given", [None, Command(resume=1)], ids=["continue", "answer"])
    def test_a_name_is_for_new_runs(self, colour: Colour, saver: Checkpointer, given: Any) -> None:
        with pytest.raises(InvalidOption, match="run_key"):
            colour.invoke(TwoTasks(colour, saver).flow, given, thread(), run_key=KEY)

    @pytest.mark.parametrize("wrong", ["", 7, b"order-7"])
    def test_a_name_is_text(self, saver: Checkpointer, wrong: Any) -> None:
        flow: Any = entrypoint(checkpointer=saver)(lambda x: x)
        with pytest.raises(InvalidOption, match="run_key"):
            flow.invoke(1, thread(), run_key=wrong)

    def test_calls_inside_a_run_have_no_names(self, colour: Colour, saver: Checkpointer) -> None:
        inner = TwoTasks(colour, saver).flow

        @colour.entrypoint(checkpointer=saver)
        async def outer(x: int) -> Any:
            if colour.workflow_is_async:
                return await inner.ainvoke(x, thread(), run_key=KEY)
            return inner.invoke(x, thread(), run_key=KEY)

        with pytest.raises(InvalidOption, match="run_key"):
            colour.invoke(outer, 1, thread())


NAMED = """
import os
saver = SqliteSaver({file!r})

@task
def charge(x):
    say(get_runtime().idempotency_key)
    if hear() == "die":
        os._exit(9)
    return "charged"

@entrypoint(checkpointer=saver)
def flow(x):
    return charge(x).result()

say(flow.invoke(1, THREAD, run_key="order-7"))
"""


class TestProcesses:
    def test_a_run_whose_process_died_is_gone_on_with_under_the_same_keys(self, tmp_path: Path) -> None:
        file = str(tmp_path / "a.db")
        keys = []
        for last in ("die", "live"):
            with start(NAMED.format(file=file)) as process:
                keys.append(process.next_line())
                process.say(last)
                if last == "live":
                    process.hears("charged")
                    process.ends_well()
                else:
                    process.next_line()
        assert keys[0] == keys[1]
        assert len(keys[0]) == 32
        with closing(SqliteSaver(file)) as saver:
            assert runs_of(saver) == [(1, "done")]

    def test_processes_at_the_same_time_run_it_once(self, tmp_path: Path) -> None:
        file = str(tmp_path / "a.db")
        with start(NAMED.format(file=file)) as first:
            first.next_line()
            with start(NAMED.format(file=file)) as second:
                first.say("live")
                first.hears("charged")
                second.hears("charged")
                second.ends_well()
            first.ends_well()


def test_the_key_for_systems_outside_is_the_same_on_every_attempt(colour: Colour, saver: Checkpointer) -> None:
    from clew import RetryPolicy, get_runtime

    keys: list[str] = []
    is_broken = Gate()

    @colour.task(retry_policy=RetryPolicy(initial_interval=0.0, jitter=False, max_attempts=2, retry_on=ConnectionError))
    async def charge(x: int) -> int:
        keys.append(get_runtime().idempotency_key)
        if not is_broken.is_open:
            raise ConnectionError
        return x

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> list[int]:
        return [await result(charge(x)), await result(charge(x))]

    with pytest.raises(ConnectionError):
        colour.invoke(flow, 1, thread())
    is_broken.open()
    assert colour.invoke(flow, None, thread()) == [1, 1]
    assert len(keys) == 4
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]
