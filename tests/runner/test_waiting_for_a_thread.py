"""Who waits for a thread is served in the order of arrival, or told who has it; who goes on with a run comes first."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from clew import (
    Checkpointer,
    Command,
    ThreadBusy,
    entrypoint,
    interrupt,
)
from clew.engine.records import Queued
from clew.errors import InvalidOption
from clew.runner import leases, waiting
from clew.storage.base import Operation
from clew.storage.queueing import Enqueue, LeaveQueue, ListQueue
from support.busy import THREAD, TwoTasks, in_line, in_queue
from support.colours import Colour, Gate, result, thread


def test_a_call_that_gets_its_thread_at_once_takes_no_place(
    colour: Colour, saver: Checkpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[type] = []
    execute = type(saver).execute

    def noted(self: Checkpointer, operation: Operation[Any]) -> Any:
        done.append(type(operation))
        return execute(self, operation)

    async def anoted(self: Checkpointer, operation: Operation[Any]) -> Any:
        return noted(self, operation)

    monkeypatch.setattr(type(saver), "execute", noted)
    monkeypatch.setattr(type(saver), "aexecute", anoted)
    colour.invoke(TwoTasks(colour, saver).flow, 1, thread())
    assert [kind.__name__ for kind in done] == ["Load", "Begin", "Append", "Append", "Append"]


def test_those_who_wait_have_places_and_leave_none_behind(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor
) -> None:
    two = TwoTasks(colour, saver)
    calls = [aside.submit(colour.invoke, two.flow, 0, thread())]
    two.begun.wait()
    calls += [aside.submit(colour.invoke, two.flow, x, thread()) for x in (1, 2)]
    in_queue(saver, 2)
    two.gate.open()
    assert calls[0].result() == [0, None]
    assert sorted(call.result()[0] for call in calls) == [0, 1, 2]
    assert list(saver.execute(ListQueue(THREAD))) == []


def test_who_gives_up_is_told_who_has_the_thread_and_how_many_wait(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor
) -> None:
    two = TwoTasks(colour, saver)
    hurried = TwoTasks(colour, saver, wait_s=0.05).flow
    calls = [aside.submit(colour.invoke, two.flow, 0, thread())]
    two.begun.wait()
    calls.append(aside.submit(colour.invoke, two.flow, 1, thread()))
    in_queue(saver, 1)
    with pytest.raises(ThreadBusy, match=r"another run of this process holds thread '1'.*1 wait before.*0\.05 s"):
        colour.invoke(hurried, 2, thread())
    in_queue(saver, 1)
    two.gate.open()
    assert [call.result()[0] for call in calls] == [0, 1]


def test_who_is_cancelled_while_waiting_leaves_no_place(saver: Checkpointer) -> None:
    two = TwoTasks(Colour(True, True), saver)

    async def run() -> None:
        first = asyncio.ensure_future(two.flow.ainvoke(0, thread()))
        second = asyncio.ensure_future(two.flow.ainvoke(1, thread()))
        while not saver.execute(ListQueue(THREAD)):
            await asyncio.sleep(0.001)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert list(saver.execute(ListQueue(THREAD))) == []
        two.gate.open()
        assert await first == [0, None]

    asyncio.run(run())


def test_places_of_the_dead_do_not_hold_anybody_up(colour: Colour, saver: Checkpointer) -> None:
    machine, pid, started = leases.this_process().rsplit("/", 2)
    for id, dead in (("q1", int(started) - 1), ("q2", int(started) - 2)):
        owner = f"{machine}/{pid}/{dead}"
        saver.execute(Enqueue(Queued(id=id, thread=THREAD, owner=owner, until_s=time.time() + 99, created_s=0)))
    assert colour.invoke(TwoTasks(colour, saver, wait_s=5).flow, 1, thread()) == [1, None]


def test_a_submitted_call_comes_before_whoever_comes_later(colour: Colour, saver: Checkpointer) -> None:
    saver.execute(Enqueue(Queued(id="q1", thread=THREAD, input=b"", created_s=0)))
    with pytest.raises(ThreadBusy, match="a submitted call comes first"):
        colour.invoke(TwoTasks(colour, saver, wait_s=0.05).flow, 1, thread())


def test_whose_place_was_given_away_takes_another(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_STAY_EVERY_S", 0.01)
    two = TwoTasks(colour, saver)
    calls = [aside.submit(colour.invoke, two.flow, 0, thread())]
    two.begun.wait()
    calls.append(aside.submit(colour.invoke, two.flow, 1, thread()))
    in_queue(saver, 1)
    [taken] = saver.execute(ListQueue(THREAD))
    assert saver.execute(LeaveQueue(taken.id))
    in_queue(saver, 1)
    [taken_again] = saver.execute(ListQueue(THREAD))
    assert taken_again.id != taken.id
    two.gate.open()
    assert [call.result() for call in calls] == [[0, None], [1, [0, None]]]


def test_an_answer_does_not_wait_behind_new_inputs(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor
) -> None:
    begun, gate = Gate(), Gate()

    @colour.task
    async def slow() -> None:
        begun.open()
        await gate.passed()

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        if x == 0:
            await result(slow())
            return interrupt("?")
        return x

    asking = aside.submit(colour.invoke, flow, 0, thread())
    begun.wait()
    later = aside.submit(colour.invoke, flow, 1, thread())
    in_line(2)
    answering = aside.submit(colour.invoke, flow, Command(resume="yes"), thread())
    in_line(3)
    gate.open()
    assert len(asking.result()["__interrupt__"]) == 1
    assert answering.result() == "yes"
    assert later.result() == 1


def test_a_fork_is_a_new_run_and_waits_its_turn(colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor) -> None:
    two = TwoTasks(colour, saver, wait_s=5)
    colour.invoke(two.flow, 1, thread())
    [*_, oldest] = two.flow.get_state_history(thread())
    saver.execute(Enqueue(Queued(id="q1", thread=THREAD, owner="elsewhere", until_s=time.time() + 99, created_s=0)))
    forked = aside.submit(colour.invoke, two.flow, None, oldest.config)
    in_queue(saver, 2)
    saver.execute(LeaveQueue("q1"))
    assert forked.result() == [1, None]
    assert list(saver.execute(ListQueue(THREAD))) == []


def test_an_answer_does_not_wait_behind_submitted_calls(colour: Colour, saver: Checkpointer) -> None:
    @colour.entrypoint(checkpointer=saver, wait_s=0.05)
    async def flow(x: int) -> Any:
        return interrupt("?")

    colour.invoke(flow, 0, thread())
    saver.execute(Enqueue(Queued(id="q1", thread=THREAD, input=b"", created_s=0)))
    assert colour.invoke(flow, Command(resume="yes"), thread()) == "yes"


def test_a_thread_that_another_call_has_is_refused_at_once(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor
) -> None:
    two = TwoTasks(colour, saver, on_conflict="reject")
    first = aside.submit(colour.invoke, two.flow, 0, thread())
    two.begun.wait()
    with pytest.raises(ThreadBusy, match="on_conflict='reject'"):
        colour.invoke(two.flow, 1, thread())
    two.gate.open()
    assert first.result() == [0, None]
    assert colour.invoke(two.flow, 2, thread()) == [2, [0, None]]
    assert list(saver.execute(ListQueue(THREAD))) == []


def test_the_option_of_a_call_goes_before_that_of_the_workflow(
    colour: Colour, saver: Checkpointer, aside: ThreadPoolExecutor
) -> None:
    two = TwoTasks(colour, saver, on_conflict="reject")
    first = aside.submit(colour.invoke, two.flow, 0, thread())
    two.begun.wait()
    second = aside.submit(colour.stream, two.flow, 1, thread(), on_conflict="queue", stream_mode="values")
    in_line(2)
    two.gate.open()
    assert first.result() == [0, None]
    assert second.result()[-1] == [1, [0, None]]


@pytest.mark.parametrize("wrong", ["enqueue", "", 1])
def test_there_are_no_others(wrong: Any, saver: Checkpointer) -> None:
    with pytest.raises(InvalidOption, match="'queue', 'reject', 'interrupt' or 'rollback'"):
        entrypoint(on_conflict=wrong)
    flow: Any = entrypoint(checkpointer=saver)(lambda x: x)
    with pytest.raises(InvalidOption, match="'queue', 'reject', 'interrupt' or 'rollback'"):
        flow.invoke(1, thread(), on_conflict=wrong)


@pytest.mark.parametrize("wrong", [-1, float("inf"), float("nan"), "60", True])
def test_a_time_to_wait_is_a_number_of_seconds(wrong: Any) -> None:
    with pytest.raises(InvalidOption, match="wait_s"):
        entrypoint(wait_s=wrong)
