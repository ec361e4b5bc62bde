"""A run is stopped by a newer input, which interrupts it or rolls it back, or because somebody asks."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from clew import (
    Checkpointer,
    InMemoryStore,
    RetryPolicy,
    RunCancelled,
    RunStopped,
    asleep,
    get_store,
    interrupt,
    sleep,
)
from clew.engine.records import ThreadKey
from clew.runner import leases, procedures
from clew.storage.base import Ask, LoadRecords
from support.busy import TwoTasks, in_line, runs_of
from support.colours import PATIENCE_S, Colour, Gate, result, thread


def test_the_running_run_is_stopped_at_its_next_task_and_kept(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor
) -> None:
    two = TwoTasks(colour, saver, on_conflict="interrupt")
    first, second = stopped_by_a_second_call(two, colour, aside)
    with pytest.raises(RunStopped, match=r"kept as interrupted.*invoke\(None, config\)") as caught:
        first.result()
    assert caught.value.why == "interrupt"
    assert second.result() == [1, None]
    assert two.ran == [("first", 0), ("first", 1), ("second", 1)]
    assert runs_of(saver) == [(0, "interrupted"), (1, "done")]
    assert [record.name for record in saver.execute(LoadRecords(caught.value.run_id))] == ["first"]


def test_a_stream_ends_with_the_error_after_what_came_before(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor
) -> None:
    two = TwoTasks(colour, saver, on_conflict="interrupt")
    first = aside.submit(colour.stream, two.flow, 0, thread())
    two.begun.wait()
    second = aside.submit(colour.invoke, two.flow, 1, thread())
    in_line(2)
    two.gate.open()
    with pytest.raises(RunStopped):
        first.result()
    assert second.result() == [1, None]


def test_a_run_without_another_task_is_done_before_the_newcomer(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor
) -> None:
    begun, gate = Gate(), Gate()

    @colour.entrypoint(checkpointer=saver, on_conflict="interrupt")
    async def flow(x: int, previous: Any = None) -> Any:
        if x == 0:
            begun.open()
            await gate.passed()
        return [x, previous]

    first = aside.submit(colour.invoke, flow, 0, thread())
    begun.wait()
    second = aside.submit(colour.invoke, flow, 1, thread())
    in_line(2)
    gate.open()
    assert first.result() == [0, None]
    assert second.result() == [1, [0, None]]


def test_those_who_wait_before_the_newcomer_begin_and_are_stopped_too(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor
) -> None:
    two = TwoTasks(colour, saver)
    calls = [aside.submit(colour.invoke, two.flow, 0, thread())]
    two.begun.wait()
    for place, (x, how) in enumerate([(1, "queue"), (2, "interrupt")], 2):
        calls.append(aside.submit(colour.invoke, two.flow, x, thread(), on_conflict=how))
        in_line(place)
    two.gate.open()
    for stopped in calls[:2]:
        with pytest.raises(RunStopped):
            stopped.result()
    assert calls[2].result() == [2, None]
    assert runs_of(saver) == [(0, "interrupted"), (1, "interrupted"), (2, "done")]


def test_an_answer_stops_nobody(colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor) -> None:
    two = TwoTasks(colour, saver, on_conflict="interrupt")
    first = aside.submit(colour.invoke, two.flow, 0, thread())
    two.begun.wait()
    going_on = aside.submit(colour.invoke, two.flow, None, thread())
    in_line(2)
    two.gate.open()
    assert first.result() == going_on.result() == [0, None]
    assert two.ran == [("first", 0), ("second", 0)]


def test_a_pause_does_not_last_to_its_end(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procedures, "_NAP_S", 0.01)
    begun = Gate()

    @colour.entrypoint(checkpointer=saver, on_conflict="interrupt")
    async def flow(x: int) -> int:
        if x == 0:
            begun.open()
            await asleep(3600) if colour.workflow_is_async else sleep(3600)
        return x

    first = aside.submit(colour.invoke, flow, 0, thread())
    begun.wait()
    assert colour.invoke(flow, 1, thread()) == 1
    with pytest.raises(RunStopped):
        first.result()


def test_a_question_and_memory_are_places_to_stop_at(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor
) -> None:
    begun, gate = Gate(), Gate()

    @colour.entrypoint(checkpointer=saver, store=InMemoryStore(), on_conflict="interrupt")
    async def flow(x: str) -> Any:
        if x != "new":
            begun.open()
            await gate.passed()
        if x == "asks":
            return interrupt("?")
        if x == "remembers":
            get_store().put(("told",), "k", {})
        return x

    for x in ("asks", "remembers"):
        begun, gate = Gate(), Gate()
        first = aside.submit(colour.invoke, flow, x, thread())
        begun.wait()
        second = aside.submit(colour.invoke, flow, "new", thread())
        in_line(2)
        gate.open()
        with pytest.raises(RunStopped):
            first.result()
        assert second.result() == "new"
    assert flow.store.get(("told",), "k") is None


def test_a_failed_task_is_not_tried_again_first(colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor) -> None:
    begun, gate = Gate(), Gate()
    ran: list[int] = []

    @colour.task(retry_policy=RetryPolicy(initial_interval=0.0, jitter=False, max_attempts=9))
    async def fails(x: int) -> None:
        ran.append(x)
        begun.open()
        await gate.passed()
        raise ConnectionError

    @colour.entrypoint(checkpointer=saver, on_conflict="interrupt")
    async def flow(x: int) -> int:
        if x == 0:
            await result(fails(x))
        return x

    first = aside.submit(colour.invoke, flow, 0, thread())
    begun.wait()
    second = aside.submit(colour.invoke, flow, 1, thread())
    in_line(2)
    gate.open()
    with pytest.raises(RunStopped):
        first.result()
    assert second.result() == 1
    assert ran == [0]


@pytest.mark.parametrize("durability", ["async", "exit"])
def test_records_that_wait_are_kept_with_the_stop(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor, durability: str
) -> None:
    two = TwoTasks(colour, saver, on_conflict="interrupt")
    first = aside.submit(colour.invoke, two.flow, 0, thread(), durability=durability)
    two.begun.wait()
    second = aside.submit(colour.invoke, two.flow, 1, thread())
    in_line(2)
    two.gate.open()
    with pytest.raises(RunStopped) as caught:
        first.result()
    assert second.result() == [1, None]
    assert [record.name for record in saver.execute(LoadRecords(caught.value.run_id))] == ["first"]


def stopped_by_a_second_call(two: TwoTasks, colour: Colour, aside: ThreadPoolExecutor) -> tuple[Future[Any], ...]:
    first = aside.submit(colour.invoke, two.flow, 0, thread())
    two.begun.wait()
    second = aside.submit(colour.invoke, two.flow, 1, thread())
    in_line(2)
    two.gate.open()
    return first, second


def test_the_running_run_vanishes_with_its_records(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor
) -> None:
    two = TwoTasks(colour, saver, on_conflict="rollback")
    colour.invoke(two.flow, 7, thread())
    first, second = stopped_by_a_second_call(two, colour, aside)
    with pytest.raises(RunStopped, match="removed") as caught:
        first.result()
    assert caught.value.why == "rollback"
    assert second.result() == [1, [7, None]]
    assert runs_of(saver) == [(7, "done"), (1, "done")]
    assert list(saver.execute(LoadRecords(caught.value.run_id))) == []


def test_what_finished_tasks_wrote_to_memory_stays(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor
) -> None:
    begun, gate = Gate(), Gate()

    @colour.task
    async def first(x: int) -> None:
        get_store().put(("told",), str(x), {})
        if x == 0:
            begun.open()
            await gate.passed()

    @colour.entrypoint(checkpointer=saver, store=InMemoryStore(), on_conflict="rollback")
    async def flow(x: int) -> None:
        await result(first(x))
        await result(first(x + 10))

    running = aside.submit(colour.invoke, flow, 0, thread())
    begun.wait()
    second = aside.submit(colour.invoke, flow, 1, thread())
    in_line(2)
    gate.open()
    second.result()
    with pytest.raises(RunStopped):
        running.result()
    assert {item.key for item in flow.store.search(("told",))} == {"0", "1", "11"}


def test_an_async_task_is_cut_off_and_the_run_can_be_continued(
    saver: Checkpointer, aside: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_WATCH_EVERY_S", 0.01)
    monkeypatch.setattr("clew.runner.workflows.keeper", leases.Keeper())
    for colour in (Colour(False, True), Colour(True, True)):
        two = TwoTasks(colour, saver)
        first = aside.submit(colour.invoke, two.flow, 0, thread(str(colour)))
        two.begun.wait()
        assert saver.execute(Ask(ThreadKey(str(colour), "flow"), "cancel"))
        with pytest.raises(RunCancelled, match="was cancelled"):
            first.result(PATIENCE_S)
        two.gate.open()
        assert two.flow.get_state(thread(str(colour))).next
        assert colour.invoke(two.flow, None, thread(str(colour))) == [0, None]


def test_blocking_tasks_end_first(saver: Checkpointer, aside: ThreadPoolExecutor) -> None:
    for colour in (Colour(False, False), Colour(True, False)):
        two = TwoTasks(colour, saver)
        first = aside.submit(colour.invoke, two.flow, 0, thread(str(colour)))
        two.begun.wait()
        assert saver.execute(Ask(ThreadKey(str(colour), "flow"), "cancel"))
        two.gate.open()
        with pytest.raises(RunCancelled):
            first.result(PATIENCE_S)
        assert two.ran == [("first", 0)]


def test_a_cancellation_by_the_caller_stays_one(saver: Checkpointer) -> None:
    two = TwoTasks(Colour(True, True), saver)

    async def run() -> None:
        first = asyncio.ensure_future(two.flow.ainvoke(0, thread()))
        while not two.begun.is_open:
            await asyncio.sleep(0.001)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(run())
