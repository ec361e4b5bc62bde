"""Many runs at once: on threads of their own they do not mix, on one thread they come one after another."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from clew import (
    Checkpointer,
    Command,
    Database,
    InMemorySaver,
    SqliteSaver,
    ThreadBusy,
    Workflow,
    entrypoint,
    get_config,
    interrupt,
    task,
)
from support.colours import Colour, Gate, Meeting, result, thread
from support.processes import start


def hurried(workflow: Any, wait_s: float) -> Any:
    """Return the same workflow, waiting for others on its thread no longer than this."""
    return Workflow(replace(workflow._settings, wait_s=wait_s))


def test_runs_in_os_threads_do_not_mix(colour: Colour, saver: Checkpointer) -> None:
    meeting = Meeting(8)

    @colour.task
    async def whose() -> Any:
        await meeting.all_here()
        return get_config()["configurable"]["thread_id"]

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int, previous: Any = 0) -> Any:
        return [x, await result(whose()), previous]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda x: colour.invoke(flow, x, thread(str(x))), range(8)))
    assert found == [[x, str(x), 0] for x in range(8)]


def test_runs_on_one_loop_do_not_mix(colour: Colour, saver: Checkpointer) -> None:
    meeting = Meeting(8)

    @colour.task
    async def whose() -> Any:
        await meeting.all_here()
        return get_config()["configurable"]["thread_id"]

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        return [x, await result(whose())]

    async def run() -> list[Any]:
        return await asyncio.gather(*(flow.ainvoke(x, thread(str(x))) for x in range(8)))

    assert asyncio.run(run()) == [[x, str(x)] for x in range(8)]


def test_a_batch_runs_side_by_side_and_answers_in_order(colour: Colour) -> None:
    meeting = Meeting(4)

    @colour.entrypoint
    async def flow(x: int) -> int:
        await meeting.all_here()
        return 10 * x

    if colour.workflow_is_async:
        assert asyncio.run(flow.abatch([1, 2, 3, 4])) == [10, 20, 30, 40]
    else:
        assert flow.batch([1, 2, 3, 4]) == [10, 20, 30, 40]


def test_a_blocking_task_under_ainvoke_runs_on_another_os_thread_than_the_loop() -> None:
    @task
    def where() -> int:
        return threading.get_ident()

    @entrypoint
    async def flow(x: int) -> int:
        return await where()

    @entrypoint
    def blocking(x: int) -> int:
        return where().result()

    async def run() -> None:
        assert await flow.ainvoke(1) != threading.get_ident()
        assert await blocking.ainvoke(1) != threading.get_ident()

    asyncio.run(run())


class Increments:
    """A workflow that adds one to what its thread saved, and notes in which order its runs came."""

    def __init__(self, colour: Colour, saver: Checkpointer) -> None:
        self.order: list[int] = []
        self.gate = Gate()
        self.begun = Gate()

        @colour.task
        async def add(x: int) -> int:
            self.begun.open()
            await self.gate.passed()
            return x + 1

        @colour.entrypoint(checkpointer=saver)
        async def flow(number: int, previous: Any = 0) -> int:
            self.order.append(number)
            return int(await result(add(previous)))

        self.flow: Any = flow


def test_five_increments_in_os_threads_give_five_in_order_of_arrival(colour: Colour, saver: Checkpointer) -> None:
    increments = Increments(colour, saver)
    values: dict[int, int] = {}

    def run(number: int) -> None:
        values[number] = colour.invoke(increments.flow, number, thread())

    runs = [threading.Thread(target=run, args=(number,)) for number in range(5)]
    for arrived, each in enumerate(runs, 1):
        each.start()
        wait_for_queue(arrived)
    increments.gate.open()
    for each in runs:
        each.join()
    assert increments.order == [0, 1, 2, 3, 4]
    assert values == {0: 1, 1: 2, 2: 3, 3: 4, 4: 5}


def wait_for_queue(length: int) -> None:
    """Wait until so many runs of this process hold or wait for the thread."""
    from clew.runner.turns import turns

    pause = threading.Event()
    for _ in range(5000):
        if sum(map(len, turns._lines.values())) >= length:
            return
        pause.wait(0.001)
    raise TimeoutError(f"{length} runs never came")


def test_five_increments_on_one_loop_give_five_in_order_of_arrival(colour: Colour, saver: Checkpointer) -> None:
    increments = Increments(colour, saver)
    increments.gate.open()

    async def run() -> list[int]:
        runs = []
        for number in range(5):
            runs.append(asyncio.ensure_future(increments.flow.ainvoke(number, thread())))
            await asyncio.sleep(0)
        return await asyncio.gather(*runs)

    values = asyncio.run(run())
    assert sorted(values) == [1, 2, 3, 4, 5]
    assert increments.flow.get_state(thread()).values == 5
    if colour.workflow_is_async:
        assert increments.order == [0, 1, 2, 3, 4]
        assert values == [1, 2, 3, 4, 5]


def test_increments_of_both_colours_on_one_thread_wait_for_each_other(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver, name="count")
    async def waiting(x: int, previous: Any = 0) -> int:
        await asyncio.sleep(0)
        return int(previous) + 1

    @entrypoint(checkpointer=saver, name="count")
    def blocking(x: int, previous: Any = 0) -> int:
        return int(previous) + 1

    async def run() -> None:
        in_thread = [asyncio.to_thread(blocking.invoke, 1, thread()) for _ in range(5)]
        await asyncio.gather(*in_thread, *(waiting.ainvoke(1, thread()) for _ in range(5)))

    asyncio.run(run())
    assert blocking.get_state(thread()).values == 10


def test_two_savers_on_one_file_wait_for_each_other(tmp_path: Path) -> None:
    with (
        closing(SqliteSaver(tmp_path / "threads.db")) as first,
        closing(SqliteSaver(tmp_path / "threads.db")) as second,
    ):
        flows = [Increments(Colour(False, False), saver) for saver in (first, second)]
        for increments in flows:
            increments.gate.open()
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda number: flows[number % 2].flow.invoke(number, thread()), range(6)))
        assert flows[0].flow.get_state(thread()).values == 6


COUNT = """
from concurrent.futures import ThreadPoolExecutor

database = Database(**{given!r})

@entrypoint(database=database, name="flow")
def flow(number, previous=0):
    return task(lambda: previous + 1, name="add")().result()

def increment(number):
    flow.invoke(number, {{"configurable": {{"thread_id": str(number % 3)}}}})

say("ready")
hear()
with ThreadPoolExecutor(4) as pool:
    list(pool.map(increment, range(30)))
"""


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_increments_of_several_processes_all_count(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    given = {"url": f"sqlite:///{tmp_path / 'app.db'}"}
    if engine == "postgres":
        given = {"url": request.getfixturevalue("postgres"), "schema": request.getfixturevalue("postgres_schema")}
    with ExitStack() as stack:
        processes = [stack.enter_context(start(COUNT.format(given=given))) for _ in range(3)]
        for process in processes:
            process.hears("ready")
        for process in processes:
            process.say("go")
        for process in processes:
            process.ends_well()
    with Database(**given) as database:

        @entrypoint(database=database)
        def flow(number: int, previous: Any = 0) -> Any:
            return previous

        assert [flow.get_state(thread(str(number))).values for number in range(3)] == [30, 30, 30]


def test_who_waits_too_long_is_told_who_is_busy_and_nothing_of_it_is_kept(colour: Colour, saver: Checkpointer) -> None:
    increments = Increments(colour, saver)
    first = threading.Thread(target=colour.invoke, args=(increments.flow, 0, thread()))
    first.start()
    increments.begun.wait()
    with pytest.raises(ThreadBusy, match="thread '1'"):
        colour.invoke(hurried(increments.flow, 0.02), 1, thread())
    increments.gate.open()
    first.join()
    assert increments.order == [0]
    assert increments.flow.get_state(thread()).values == 1
    assert len(list(increments.flow.get_state_history(thread()))) == 2


def test_who_gave_up_waiting_does_not_hold_up_those_behind(colour: Colour, saver: Checkpointer) -> None:
    increments = Increments(colour, saver)
    last: list[int] = []
    first = threading.Thread(target=colour.invoke, args=(increments.flow, 0, thread()))
    first.start()
    increments.begun.wait()

    async def cancelled_while_waiting() -> None:
        waiting = asyncio.ensure_future(increments.flow.ainvoke(1, thread()))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(cancelled_while_waiting())
    behind = threading.Thread(target=lambda: last.append(colour.invoke(increments.flow, 2, thread())))
    behind.start()
    increments.gate.open()
    first.join()
    behind.join()
    assert last == [2]
    assert increments.order == [0, 2]


def test_an_update_by_hand_is_refused_while_a_run_holds_the_thread(saver: Checkpointer) -> None:
    increments = Increments(Colour(False, False), saver)
    first = threading.Thread(target=increments.flow.invoke, args=(0, thread()))
    first.start()
    increments.begun.wait()
    with pytest.raises(ThreadBusy):
        increments.flow.update_state(thread(), 7)
    increments.gate.open()
    first.join()
    assert increments.flow.get_state(thread()).values == 1


def test_two_answers_at_once_answer_once(colour: Colour, saver: Checkpointer) -> None:
    from clew.errors import InvalidResume

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        return interrupt("which?")

    colour.invoke(flow, 1, thread())

    def answer(text: str) -> Any:
        try:
            return colour.invoke(flow, Command(resume=text), thread())
        except InvalidResume:
            return "refused"

    with ThreadPoolExecutor(2) as pool:
        found = set(pool.map(answer, ["a", "b"]))
    assert "refused" in found
    assert found - {"refused"} <= {"a", "b"}
    assert len(found) == 2


def test_a_nested_workflow_on_the_same_thread_does_not_wait_for_its_own_run(colour: Colour) -> None:
    saver = InMemorySaver()

    @colour.entrypoint(checkpointer=saver, name="flow")
    async def inner(x: int) -> int:
        return x + 1

    @colour.entrypoint(checkpointer=saver, name="flow")
    async def outer(x: int) -> Any:
        if colour.workflow_is_async:
            return await hurried(inner, 0.1).ainvoke(x, thread())
        return hurried(inner, 0.1).invoke(x, thread())

    assert colour.invoke(outer, 1, thread()) == 2
