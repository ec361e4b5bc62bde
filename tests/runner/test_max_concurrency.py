"""`config["max_concurrency"]` bounds the calls that are under way at once, and cannot deadlock."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from clew import Checkpointer, Command, RetryPolicy, interrupt
from support.colours import Colour, Gate, Meeting, passing, result, results, thread


class Busy:
    """Counts how many bodies are between `enter` and `leave`, and remembers the most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def __enter__(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._now -= 1


def bounded(most: int) -> dict[str, Any]:
    return {"max_concurrency": most}


@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_more_calls_than_that_are_under_way(colour: Colour, most: int) -> None:
    busy, meeting = Busy(), Meeting(most)

    @colour.task
    async def work(place: int) -> int:
        with busy:
            await meeting.all_here()
            await passing()
        return place

    @colour.entrypoint
    async def flow(number: int) -> Any:
        return await results(*[work(place) for place in range(8)])

    assert colour.invoke(flow, 1, bounded(most)) == list(range(8))
    assert busy.most == most


@pytest.mark.parametrize("most", [1, 2])
def test_tasks_that_call_tasks_do_not_deadlock(colour: Colour, most: int) -> None:
    busy = Busy()

    @colour.task
    async def leaf(place: int) -> int:
        with busy:
            await passing()
        return place

    @colour.task
    async def branch(place: int) -> int:
        return await result(leaf(place)) + sum(await results(leaf(place), leaf(place), leaf(place)))

    @colour.task
    async def root(place: int) -> int:
        return sum(await results(branch(place), branch(place)))

    @colour.entrypoint
    async def flow(number: int) -> Any:
        return await results(*[root(place) for place in range(4)])

    assert colour.invoke(flow, 1, bounded(most)) == [0, 8, 16, 24]
    assert busy.most <= most


def test_deep_calls_do_not_deadlock(colour: Colour) -> None:
    @colour.task
    async def count_down(number: int) -> int:
        return 0 if number == 0 else 1 + await result(count_down(number - 1))

    @colour.entrypoint
    async def flow(number: int) -> int:
        return await result(count_down(number))

    assert colour.invoke(flow, 15, bounded(1)) == 15


def test_the_workflow_takes_no_place(colour: Colour) -> None:
    @colour.task
    def work() -> int:
        return 1

    @colour.entrypoint
    async def flow(number: int) -> int:
        return await result(work())

    assert colour.invoke(flow, 1, bounded(1)) == 1


def test_nested_workflows_take_no_place(colour: Colour) -> None:
    @colour.task
    def work(number: int) -> int:
        return number + 1

    @colour.entrypoint
    async def inner(number: int) -> int:
        return sum(await results(work(number), work(number)))

    @colour.task
    async def middle(number: int) -> int:
        return int(await inner.ainvoke(number) if colour.task_is_async else inner.invoke(number))

    @colour.entrypoint
    async def flow(number: int) -> Any:
        return await results(middle(number), middle(number))

    assert colour.invoke(flow, 1, bounded(1)) == [4, 4]


def test_a_call_that_fails_gives_its_place_back(colour: Colour) -> None:
    @colour.task
    def work(place: int) -> int:
        if place % 2:
            raise KeyError(place)
        return place

    @colour.entrypoint
    async def flow(number: int) -> Any:
        futures = [work(place) for place in range(6)]
        found: list[Any] = []
        for future in futures:
            try:
                found.append(await result(future))
            except KeyError as error:
                found.append(error.args)
        return found

    assert colour.invoke(flow, 1, bounded(1)) == [0, (1,), 2, (3,), 4, (5,)]


def test_a_call_that_is_retried_keeps_its_place(colour: Colour) -> None:
    tries: list[int] = []

    @colour.task(retry_policy=RetryPolicy(initial_interval=0, jitter=False))
    def work(place: int) -> int:
        tries.append(place)
        if tries.count(place) < 2:
            raise ConnectionError
        return place

    @colour.entrypoint
    async def flow(number: int) -> Any:
        return await results(*[work(place) for place in range(3)])

    assert colour.invoke(flow, 1, bounded(1)) == [0, 1, 2]


def test_calls_that_nobody_awaits_get_their_turn(colour: Colour) -> None:
    ended: list[int] = []

    @colour.task
    def work(place: int) -> None:
        ended.append(place)

    @colour.entrypoint
    def flow(number: int) -> str:
        for place in range(5):
            work(place)
        return "done"

    assert colour.invoke(flow, 1, bounded(1)) == "done"
    assert sorted(ended) == [0, 1, 2, 3, 4]


def test_an_interrupt_gives_its_place_back_and_the_others_end(colour: Colour, saver: Checkpointer) -> None:
    ran: list[int] = []

    @colour.task
    def work(place: int) -> Any:
        if place == 1:
            return interrupt("why?")
        ran.append(place)
        return place

    @colour.entrypoint(checkpointer=saver)
    async def flow(number: int) -> Any:
        return await results(*[work(place) for place in range(3)])

    config = thread(max_concurrency=1)
    assert [question.value for question in colour.invoke(flow, 1, config)["__interrupt__"]] == ["why?"]
    assert colour.invoke(flow, Command(resume="so"), config) == [0, "so", 2]
    assert sorted(ran) == [0, 2]


def test_a_cancelled_call_gives_its_place_back() -> None:
    colour, never = Colour(True, True), Gate()

    @colour.task
    async def work(place: int) -> int:
        if place < 2:
            await never.passed()
        return place

    @colour.entrypoint
    async def flow(number: int) -> Any:
        running, waiting, following = work(0), work(1), work(2)
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        running.cancel()
        return await following

    assert asyncio.run(flow.ainvoke(1, bounded(1))) == 2


def test_one_run_does_not_take_the_places_of_another(colour: Colour) -> None:
    meeting = Meeting(2)

    @colour.task
    async def work() -> int:
        await meeting.all_here()
        return 1

    @colour.entrypoint
    async def flow(number: int) -> int:
        return await result(work())

    async def run() -> Any:
        return await asyncio.gather(flow.ainvoke(1, bounded(1)), flow.ainvoke(1, bounded(1)))

    assert asyncio.run(run()) == [1, 1]


def test_the_recursion_limit_does_not_limit_calls(colour: Colour) -> None:
    @colour.task
    def work(place: int) -> int:
        return place

    @colour.entrypoint
    async def flow(number: int) -> Any:
        return [await result(work(place)) for place in range(10)]

    assert colour.invoke(flow, 1, {"recursion_limit": 2}) == list(range(10))
