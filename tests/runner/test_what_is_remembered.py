"""What a thread remembers from run to run, and what a run remembers when it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from clew import Checkpointer, Command, RetryPolicy, entrypoint, interrupt, task
from support.colours import Colour, Gate, Meeting, result, results, thread

DURABILITIES = ("sync", "async", "exit")


@pytest.fixture(params=DURABILITIES)
def durability(request: pytest.FixtureRequest) -> str:
    """Every way of keeping outcomes."""
    name: str = request.param
    return name


def test_previous_is_nothing_on_the_first_run_and_then_what_was_returned(saver: Checkpointer, colour: Colour) -> None:
    seen: list[Any] = []

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int, *, previous: Any) -> int:
        seen.append(previous)
        return x

    for x in (1, 2, 3):
        colour.invoke(flow, x, thread())
    assert seen == [None, 1, 2]


@pytest.mark.parametrize("falsy", [None, False, 0, "", [], {}])
def test_previous_may_be_falsy(saver: Checkpointer, falsy: Any) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: Any, *, previous: Any = "nothing yet") -> Any:
        return falsy if x == "save" else previous

    assert flow.invoke("look", thread("other")) == "nothing yet"
    flow.invoke("save", thread())
    assert flow.invoke("look", thread()) == falsy


def test_previous_is_what_final_saved(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int, *, previous: Any) -> Any:
        return entrypoint.final(value=("returned", previous), save=("saved", x))

    assert colour.invoke(flow, 1, thread()) == ("returned", None)
    assert colour.invoke(flow, 2, thread()) == ("returned", ("saved", 1))
    assert colour.stream(flow, 3, thread()) == [{"flow": ("returned", ("saved", 2))}]
    assert colour.stream(flow, 4, thread(), stream_mode="values") == [("returned", ("saved", 3))]


def test_without_a_checkpointer_previous_is_always_nothing(colour: Colour) -> None:
    @colour.entrypoint()
    async def flow(x: int, *, previous: Any) -> Any:
        return previous

    colour.invoke(flow, 1, thread())
    assert colour.invoke(flow, 2, thread()) is None


def test_a_failed_run_leaves_previous_as_it_was(saver: Checkpointer, colour: Colour) -> None:
    seen: list[Any] = []

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: Any, *, previous: Any) -> Any:
        seen.append(previous)
        if x == "fail":
            raise ValueError(x)
        return x

    colour.invoke(flow, "first", thread())
    with pytest.raises(ValueError, match="fail"):
        colour.invoke(flow, "fail", thread())
    colour.invoke(flow, "third", thread())
    assert seen == [None, "first", "first"]


def test_an_interrupted_run_sees_the_same_previous_when_it_is_resumed(saver: Checkpointer, colour: Colour) -> None:
    seen: list[Any] = []

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: Any, *, previous: Any) -> Any:
        seen.append(previous)
        return interrupt("?") if x == "ask" else x

    colour.invoke(flow, "first", thread())
    colour.invoke(flow, "ask", thread())
    assert colour.invoke(flow, Command(resume="answer"), thread()) == "answer"
    colour.invoke(flow, "last", thread())
    assert seen == [None, "first", "first", "answer"]


def test_a_new_input_after_an_interrupted_run_sees_what_was_finished(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: Any, *, previous: Any) -> Any:
        return (previous, interrupt("?") if x == "ask" else x)

    flow.invoke(1, thread())
    flow.invoke("ask", thread())
    assert flow.invoke(2, thread()) == ((None, 1), 2)


@pytest.mark.parametrize("value", [None, 0, {"a": (1, 2)}])
def test_previous_is_what_update_state_set(saver: Checkpointer, value: Any) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: Any, *, previous: Any) -> Any:
        return previous

    flow.update_state(thread("fresh"), value)
    assert flow.invoke(1, thread("fresh")) == value
    flow.invoke(1, thread("used"))
    flow.update_state(thread("used"), value)
    assert flow.invoke(2, thread("used")) == value


def test_a_recorded_task_is_not_run_again(saver: Checkpointer, colour: Colour, durability: str) -> None:
    ran: list[Any] = []

    @colour.task
    async def work(x: int) -> int:
        ran.append(x)
        return x * 10

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        ran.append("body")
        first = await result(work(x))
        answer = interrupt("?")
        return first, answer, await result(work(x + 1))

    colour.invoke(flow, 1, thread(), durability=durability)
    assert ran == ["body", 1]
    assert colour.invoke(flow, Command(resume="yes"), thread(), durability=durability) == (10, "yes", 20)
    assert ran == ["body", 1, "body", 2]


@pytest.mark.parametrize("falsy", [None, False, 0, "", [], {}])
def test_a_task_that_returned_something_falsy_is_not_run_again(saver: Checkpointer, falsy: Any) -> None:
    ran: list[int] = []

    @task
    def work() -> Any:
        ran.append(1)
        return falsy

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> Any:
        return work().result(), interrupt("?")

    flow.invoke(1, thread())
    assert flow.invoke(Command(resume=1), thread()) == (falsy, 1)
    assert ran == [1]


def test_a_task_declared_in_the_body_is_recognised(saver: Checkpointer, colour: Colour) -> None:
    ran: list[int] = []

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        @colour.task
        async def work(y: int) -> int:
            ran.append(y)
            return y

        return await result(work(x)), interrupt("?")

    colour.invoke(flow, 1, thread())
    assert colour.invoke(flow, Command(resume=2), thread()) == (1, 2)
    assert ran == [1]


def test_tasks_called_by_tasks_are_each_run_once(saver: Checkpointer, colour: Colour, durability: str) -> None:
    ran: list[Any] = []

    @colour.task
    async def leaf(x: int) -> int:
        ran.append(("leaf", x))
        return x

    @colour.task
    async def branch(x: int) -> int:
        ran.append(("branch", x))
        return sum(await results(leaf(x), leaf(x + 1)))

    @colour.task
    async def asking(x: int) -> Any:
        ran.append(("asking", x))
        below = await result(branch(x))
        return below, interrupt("?")

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        return await results(branch(x), asking(x + 10))

    colour.invoke(flow, 1, thread(), durability=durability)
    assert colour.invoke(flow, Command(resume="ok"), thread(), durability=durability) == [3, (23, "ok")]
    assert sorted(ran) == sorted(
        [("branch", 1), ("leaf", 1), ("leaf", 2), ("branch", 11), ("leaf", 11), ("leaf", 12)] + [("asking", 11)] * 2
    )


def test_parallel_work_finishes_when_one_task_asks(saver: Checkpointer, colour: Colour, durability: str) -> None:
    ran: list[str] = []
    asked = Gate()

    @colour.task
    async def asking() -> Any:
        asked.open()
        return interrupt("?")

    @colour.task
    async def working() -> str:
        await asked.passed()
        ran.append("working")
        return "worked"

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        return await results(*[asking(), working()])

    stopped = colour.invoke(flow, 1, thread(), durability=durability)
    assert len(stopped["__interrupt__"]) == 1
    assert colour.invoke(flow, Command(resume="yes"), thread(), durability=durability) == ["yes", "worked"]
    assert ran == ["working"]


def test_parallel_work_that_finished_is_kept_when_one_task_fails(
    saver: Checkpointer, colour: Colour, durability: str
) -> None:
    ran: list[str] = []
    worked = Gate()

    @colour.task
    async def failing() -> str:
        await worked.passed()
        ran.append("failing")
        if ran.count("failing") == 1:
            raise ConnectionError("lost")
        return "recovered"

    @colour.task
    async def working() -> str:
        ran.append("working")
        return "worked"

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        other, bad = working(), failing()
        done = await result(other)
        worked.open()
        return done, await result(bad)

    with pytest.raises(ConnectionError, match="lost"):
        colour.invoke(flow, 1, thread(), durability=durability)
    assert colour.invoke(flow, None, thread(), durability=durability) == ("worked", "recovered")
    assert sorted(ran) == ["failing", "failing", "working"]


def test_a_failure_that_the_workflow_handled_is_replayed(saver: Checkpointer, colour: Colour, durability: str) -> None:
    ran: list[str] = []

    @colour.task
    async def flaky() -> str:
        ran.append("flaky")
        if len(ran) == 1:
            raise ConnectionError("lost")
        return "never seen"

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        try:
            first = await result(flaky())
        except ConnectionError as error:
            first = f"handled {error}"
        return first, interrupt("?")

    colour.invoke(flow, 1, thread(), durability=durability)
    assert colour.invoke(flow, Command(resume="ok"), thread(), durability=durability) == ("handled lost", "ok")
    assert ran == ["flaky"]


def test_the_failure_that_ended_a_run_is_run_again_and_handled_ones_are_not(
    saver: Checkpointer, colour: Colour, durability: str
) -> None:
    ran: list[str] = []

    @colour.task
    async def work(name: str) -> str:
        ran.append(name)
        if ran.count(name) == 1:
            raise ConnectionError(name)
        return name

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        try:
            first = await result(work("handled"))
        except ConnectionError:
            first = "fallback"
        return first, await result(work("fatal"))

    with pytest.raises(ConnectionError, match="fatal"):
        colour.invoke(flow, 1, thread(), durability=durability)
    assert colour.invoke(flow, None, thread(), durability=durability) == ("fallback", "fatal")
    assert ran == ["handled", "fatal", "fatal"]


def test_what_was_done_about_a_failure_yields_once_the_failed_call_succeeds(
    saver: Checkpointer, colour: Colour, durability: str
) -> None:
    """The clean-up was recorded, but the run that goes on has nothing to clean up: no mismatch."""
    ran: list[str] = []

    @colour.task
    async def work() -> str:
        ran.append("work")
        if len(ran) == 1:
            raise ConnectionError("lost")
        return "worked"

    @colour.task
    async def clean_up() -> None:
        ran.append("clean up")

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        try:
            return await result(work())
        except ConnectionError:
            await result(clean_up())
            raise

    with pytest.raises(ConnectionError, match="lost"):
        colour.invoke(flow, 1, thread(), durability=durability)
    assert colour.invoke(flow, None, thread(), durability=durability) == "worked"
    assert ran == ["work", "clean up", "work"]


@dataclass
class Box:
    """A value of a class of one's own."""

    inside: tuple[int, ...]


def test_first_run_and_resumed_run_see_equal_values_of_equal_types(saver: Checkpointer, colour: Colour) -> None:
    seen: list[Any] = []
    values = [(1, (2, 3)), {1: "a"}, {4, 5}, b"x", Box((1, 2)), 1.0, [(), {}]]

    @colour.task
    async def work(place: int) -> Any:
        return values[place]

    @colour.entrypoint(checkpointer=saver, allow=[Box])
    async def flow(x: int) -> Any:
        got = [await result(work(place)) for place in range(len(values))]
        seen.append(got)
        interrupt("?")
        return got

    colour.invoke(flow, 1, thread())
    returned = colour.invoke(flow, Command(resume=1), thread())
    for got in (*seen, returned):
        assert got == values
        assert [type(value) for value in got] == [type(value) for value in values]


def test_changing_a_result_in_place_does_not_change_what_was_kept(saver: Checkpointer, colour: Colour) -> None:
    seen: list[Any] = []

    @colour.task
    async def work() -> list[int]:
        return [1]

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: list[int], *, previous: Any) -> Any:
        got = await result(work())
        seen.append((list(x), list(got)))
        got.append(2)
        x.append(2)
        interrupt("?")
        return got

    colour.invoke(flow, [1], thread())
    kept = colour.invoke(flow, Command(resume=1), thread())
    kept.append(3)
    assert seen == [([1], [1]), ([1], [1])]
    assert flow.get_state(thread()).values == [1, 2]


def test_a_new_input_on_an_unfinished_thread_starts_afresh(
    saver: Checkpointer, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[Any] = []

    @task
    def work(x: int) -> int:
        ran.append(x)
        return x

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> Any:
        return work(x).result(), interrupt(f"question {x}")

    flow.invoke(1, thread())
    flow.invoke(1, thread())
    assert ran == [1, 1]
    assert "question 1" in caplog.text  # a question that is dropped is not dropped without a word
    assert flow.invoke(Command(resume="yes"), thread()) == (1, "yes")


def test_two_workflows_on_one_thread_are_kept_apart(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def one(x: int, *, previous: Any) -> Any:
        return previous, x

    @entrypoint(checkpointer=saver)
    def other(x: int, *, previous: Any) -> Any:
        return previous, x

    one.invoke(1, thread())
    assert other.invoke(2, thread()) == (None, 2)
    assert one.invoke(3, thread()) == ((None, 1), 3)


def test_parallel_calls_of_one_task_keep_their_own_results(saver: Checkpointer, colour: Colour) -> None:
    ran: list[int] = []
    meeting = Meeting(3)

    @colour.task
    async def work(x: int) -> int:
        if not ran.count(x):
            await meeting.all_here()
        ran.append(x)
        return x * x

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        squares = await results(*[work(y) for y in range(3)])
        return squares, interrupt("?")

    colour.invoke(flow, 1, thread())
    assert colour.invoke(flow, Command(resume="ok"), thread()) == ([0, 1, 4], "ok")
    assert sorted(ran) == [0, 1, 2]


def test_a_run_that_was_finished_returns_its_value_when_it_is_continued(saver: Checkpointer, colour: Colour) -> None:
    ran: list[int] = []

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> int:
        ran.append(x)
        return x

    colour.invoke(flow, 7, thread())
    assert colour.invoke(flow, None, thread()) == 7
    assert ran == [7]


def test_a_run_that_was_killed_is_continued_with_its_input(saver: Checkpointer, colour: Colour) -> None:
    """What ends a run without an Exception leaves it unfinished as well."""

    class Killed(BaseException):
        pass

    ran: list[Any] = []
    bodies: list[Any] = []

    @colour.task
    async def work(x: str) -> str:
        ran.append(x)
        return x

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: str) -> Any:
        first = await result(work(x))
        if not bodies:
            bodies.append("first")
            raise Killed
        return first, await result(work("second"))

    with pytest.raises(Killed):
        colour.invoke(flow, "input", thread())
    assert colour.invoke(flow, None, thread()) == ("input", "second")
    assert ran == ["input", "second"]


def test_a_retried_task_tries_the_tasks_again_that_failed_below_it(colour: Colour, saver: Checkpointer) -> None:
    ran: list[str] = []

    @colour.task
    async def steady() -> str:
        ran.append("steady")
        return "steady"

    @colour.task
    async def flaky() -> str:
        ran.append("flaky")
        if ran.count("flaky") == 1:
            raise ConnectionError("lost")
        return "flaky"

    @colour.task(retry_policy=RetryPolicy(initial_interval=0.0, jitter=False))
    async def outer() -> Any:
        return await result(steady()), await result(flaky())

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        return await result(outer())

    assert colour.invoke(flow, 1, thread()) == ("steady", "flaky")
    assert ran == ["steady", "flaky", "flaky"]
