"""Durable waiting: a run that was stopped meanwhile waits only for the rest."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from clew import Checkpointer, Command, NotInWorkflow, ReplayMismatch, asleep, entrypoint, interrupt, sleep, task
from clew.errors import WouldWait
from support.colours import Colour, thread


class Pauses(list[float]):
    """The pauses that were asked for; none is made. All the naps of one `rest` count as one."""

    new = True

    def add(self, seconds: float) -> None:
        if self.new or not self:
            self.append(0)
        self[-1] += seconds
        self.new = False


made = Pauses()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    made.clear()
    real = asyncio.sleep

    async def pause(seconds: float, result: Any = None) -> Any:
        made.add(seconds)
        return await real(0, result)

    monkeypatch.setattr(time, "sleep", made.add)
    monkeypatch.setattr(asyncio, "sleep", pause)
    return made


async def rest(seconds: float) -> None:
    """Sleep in the colour of the running body."""
    made.new = True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        sleep(seconds)
    else:
        await asleep(seconds)


def test_a_short_wait_waits(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> float:
        begun = time.monotonic()
        await rest(0.02)
        return time.monotonic() - begun

    assert colour.invoke(flow, 1, thread()) >= 0.019


def test_a_resumed_run_waits_only_for_the_rest(
    saver: Checkpointer, colour: Colour, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        await rest(3600)
        return interrupt("?")

    colour.invoke(flow, 1, thread())
    assert pauses == [pytest.approx(3600, abs=5)]
    now = time.time
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: now() + 3000)
        assert len(colour.invoke(flow, None, thread())["__interrupt__"]) == 1
        assert pauses[1] == pytest.approx(600, abs=5)
    monkeypatch.setattr(time, "time", lambda: now() + 4000)
    assert colour.invoke(flow, Command(resume="late"), thread()) == "late"
    assert len(pauses) == 2


def test_waits_in_a_row_and_in_tasks_are_told_apart(saver: Checkpointer, colour: Colour, pauses: Pauses) -> None:
    @colour.task
    async def napping() -> str:
        await rest(300)
        return "rested"

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        await rest(100)
        await rest(200)
        future = napping()
        rested = await future if colour.workflow_is_async else future.result()
        return rested, interrupt("?")

    colour.invoke(flow, 1, thread())
    assert pauses == [pytest.approx(seconds, abs=5) for seconds in (100, 200, 300)]
    assert colour.invoke(flow, Command(resume=1), thread()) == ("rested", 1)
    assert pauses[3:] == [pytest.approx(100, abs=5), pytest.approx(200, abs=5)]


def test_a_changed_wait_is_refused(saver: Checkpointer, pauses: Pauses) -> None:
    seconds = [10]

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> Any:
        sleep(seconds[0])
        return interrupt("?")

    flow.invoke(1, thread())
    seconds[0] = 20
    with pytest.raises(ReplayMismatch, match=r"10.*20"):
        flow.invoke(Command(resume=1), thread())


def test_without_a_checkpointer_a_wait_just_waits(colour: Colour, pauses: Pauses) -> None:
    @colour.entrypoint()
    async def flow(x: int) -> str:
        await rest(5)
        return "rested"

    assert colour.invoke(flow, 1) == "rested"
    assert pauses == [pytest.approx(5, abs=1)]


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_time_is_no_wait(colour: Colour, saver: Checkpointer, pauses: Pauses, seconds: float) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> str:
        await rest(seconds)
        return "rested"

    assert colour.invoke(flow, 1, thread()) == "rested"
    assert pauses == []


def test_a_blocking_wait_on_an_event_loop_is_refused(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    async def flow(x: int) -> None:
        sleep(1)

    with pytest.raises(WouldWait, match="asleep"):
        flow.invoke(1, thread())


def test_outside_a_run_nothing_is_waited_for() -> None:
    with pytest.raises(NotInWorkflow):
        sleep(1)
    with pytest.raises(NotInWorkflow):
        asyncio.run(asleep(1))


def test_a_wait_in_a_blocking_task_of_an_async_workflow_holds_up_nobody(saver: Checkpointer) -> None:
    @task
    def napping() -> str:
        sleep(0.01)
        return "rested"

    @entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        return await asyncio.gather(napping(), napping())

    assert flow.invoke(1, thread()) == ["rested", "rested"]
