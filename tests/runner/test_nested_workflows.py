"""Workflows called inside workflows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clew import (
    BaseStore,
    Checkpointer,
    Command,
    Conflict,
    InvalidResume,
    Runtime,
    entrypoint,
    get_config,
    get_store,
    interrupt,
    task,
)
from clew.errors import UsageError, WouldWait
from support.colours import PATIENCE_S, Colour, result, thread
from support.working import working


async def call(workflow: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a workflow from a body, by the verb of the body's colour."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return workflow.invoke(*args, **kwargs)
    async with asyncio.timeout(PATIENCE_S):
        return await workflow.ainvoke(*args, **kwargs)


def test_a_nested_workflow_returns_its_value(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint()
    async def inner(x: int) -> int:
        return x + 1

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int) -> Any:
        return await call(inner, x), await call(inner, 10)

    assert colour.invoke(outer, 1, thread()) == (2, 11)


def test_a_nested_workflow_gives_the_value_of_final(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint()
    async def inner(x: int) -> Any:
        return entrypoint.final(value=x, save="other")

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int) -> Any:
        return [await call(inner, x)]

    assert colour.invoke(outer, 1, thread()) == [1]


def test_a_task_may_call_workflows_several_times(saver: Checkpointer, colour: Colour) -> None:
    ran: list[Any] = []

    @colour.task
    async def leaf(x: int) -> int:
        ran.append(x)
        return x * 2

    @colour.entrypoint()
    async def inner(x: int) -> Any:
        return await result(leaf(x)), interrupt(x)

    @colour.task
    async def through() -> Any:
        return [await call(inner, x) for x in (1, 2)]

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int) -> Any:
        return await result(through())

    assert colour.invoke(outer, 1, thread())["__interrupt__"][0].value == 1
    assert colour.invoke(outer, Command(resume="a"), thread())["__interrupt__"][0].value == 2
    assert colour.invoke(outer, Command(resume="b"), thread()) == [(2, "a"), (4, "b")]
    assert ran == [1, 2]


def test_each_task_runs_once_however_deep_it_was_called(saver: Checkpointer, colour: Colour) -> None:
    ran: list[Any] = []

    @colour.task
    async def work(where: str) -> str:
        ran.append(where)
        return where

    @colour.entrypoint()
    async def lowest(x: int) -> Any:
        return await result(work("lowest")), interrupt("lowest")

    @colour.task
    async def between() -> Any:
        return await result(work("between")), await call(lowest, 1), interrupt("between")

    @colour.entrypoint()
    async def middle(x: int) -> Any:
        return await result(work("middle")), await result(between())

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int) -> Any:
        return await result(work("outer")), await call(middle, 1), interrupt("outer")

    got, asked = colour.invoke(outer, 1, thread()), []
    while isinstance(got, dict):
        [question] = got["__interrupt__"]
        asked.append(question.value)
        got = colour.invoke(outer, Command(resume=question.value), thread())
    assert asked == ["lowest", "between", "outer"]
    assert got == ("outer", ("middle", ("between", ("lowest", "lowest"), "between")), "outer")
    assert ran == ["outer", "middle", "between", "lowest"]


def test_a_nested_workflow_that_finished_is_not_run_again(saver: Checkpointer, colour: Colour) -> None:
    ran: list[Any] = []

    @colour.entrypoint()
    async def inner(x: int) -> int:
        ran.append(x)
        return x

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int) -> Any:
        return await call(inner, x), interrupt("?")

    colour.invoke(outer, 1, thread())
    assert colour.invoke(outer, Command(resume=2), thread()) == (1, 2)
    assert ran == [1]


def test_without_memory_of_its_own_a_nested_workflow_starts_afresh(saver: Checkpointer, colour: Colour) -> None:
    seen: list[Any] = []

    @colour.entrypoint()
    async def inner(x: int, *, previous: Any) -> int:
        seen.append(previous)
        return x

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int, *, previous: Any) -> Any:
        await call(inner, x)
        return await call(inner, x)

    colour.invoke(outer, 1, thread())
    colour.invoke(outer, 2, thread())
    assert seen == [None] * 4


@pytest.mark.parametrize("own", [True, False], ids=["checkpointer=True", "its own checkpointer"])
def test_a_nested_workflow_with_memory_remembers_from_call_to_call(
    saver: Checkpointer, colour: Colour, own: bool
) -> None:
    @colour.entrypoint(checkpointer=own or saver)
    async def inner(x: int, *, previous: Any) -> Any:
        return entrypoint.final(value=(previous, x), save=(previous or 0) + x)

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int, *, previous: Any) -> Any:
        return await call(inner, x), await call(inner, x + 1), previous is not None

    assert colour.invoke(outer, 1, thread()) == ((None, 1), (1, 2), False)
    assert colour.invoke(outer, 10, thread()) == ((3, 10), (13, 11), True)
    assert colour.invoke(outer, 1, thread("another")) == ((None, 1), (1, 2), False)


def test_a_workflow_that_remembers_with_its_caller_is_refused_without_one(colour: Colour) -> None:
    @colour.entrypoint(checkpointer=True)
    async def count(x: int) -> int:
        return x

    with pytest.raises(RuntimeError, match=r"'count' has checkpointer=True.*call it inside one"):
        colour.invoke(count, 1, thread())


def test_what_a_nested_workflow_saved_is_shown_by_itself(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def inner(x: int, *, previous: Any) -> Any:
        return (previous, x)

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int) -> Any:
        return await call(inner, x)

    colour.invoke(outer, 1, thread())
    assert inner.get_state(thread()).values == (None, 1)
    assert colour.invoke(inner, 2, thread()) == ((None, 1), 2)


def test_a_nested_workflow_may_remember_on_a_thread_of_its_own(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def inner(x: int, *, previous: Any) -> Any:
        return (previous or 0) + x

    @colour.entrypoint(checkpointer=saver)
    async def outer(who: str) -> Any:
        return await call(inner, 1, thread(who))

    assert [colour.invoke(outer, who, thread()) for who in ("ada", "ada", "bob")] == [1, 2, 1]
    assert inner.get_state(thread("ada")).values == 2


def test_a_nested_workflow_sees_the_same_previous_when_it_is_resumed(saver: Checkpointer, colour: Colour) -> None:
    seen: list[Any] = []

    @colour.entrypoint(checkpointer=True)
    async def inner(x: int, *, previous: Any) -> Any:
        seen.append(previous)
        return x if x == 1 else interrupt("?")

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int) -> Any:
        return await call(inner, x)

    colour.invoke(outer, 1, thread())
    colour.invoke(outer, 2, thread())
    assert colour.invoke(outer, Command(resume=3), thread()) == 3
    colour.invoke(outer, 1, thread())
    assert seen == [None, 1, 1, 3]


def test_what_somebody_else_left_meanwhile_is_not_written_over(saver: Checkpointer, colour: Colour) -> None:
    others: list[int] = [100]

    @colour.entrypoint(checkpointer=saver)
    async def count(x: int, *, previous: Any) -> int:
        while others:
            count.update_state(thread("shared"), others.pop())
        return (previous or 0) + x

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int) -> Any:
        return await call(count, x, thread("shared"))

    with pytest.raises(Conflict, match=r"'shared' of 'count' was changed by another writer"):
        colour.invoke(outer, 1, thread())
    assert count.get_state(thread("shared")).values == 100
    assert colour.invoke(outer, None, thread()) == 101


def test_a_nested_workflow_sees_what_was_saved_before_a_run_that_failed(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def count(x: int, *, previous: Any) -> int:
        return (previous or 0) + 10 // x

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int) -> Any:
        return await call(count, x, thread("shared"))

    assert colour.invoke(count, 1, thread("shared")) == 10
    with pytest.raises(ZeroDivisionError):
        colour.invoke(count, 0, thread("shared"))
    assert colour.invoke(outer, 2, thread()) == 15


def test_a_workflow_that_remembers_may_call_itself(saver: Checkpointer, colour: Colour) -> None:
    flows: list[Any] = []

    @colour.entrypoint(checkpointer=True)
    async def down(n: int, *, previous: Any) -> int:
        return (previous or 0) + (0 if n == 0 else await call(flows[0], n - 1)) + 1

    @colour.entrypoint(checkpointer=saver)
    async def outer(n: int) -> Any:
        return await call(down, n)

    flows.append(down)
    assert colour.invoke(outer, 2, thread()) == 3
    assert colour.invoke(outer, 0, thread()) == 4


def test_a_workflow_with_a_checkpointer_may_call_itself(saver: Checkpointer, colour: Colour) -> None:
    flows: list[Any] = []

    @colour.entrypoint(checkpointer=saver)
    async def factorial(n: int) -> int:
        return 1 if n == 0 else n * await call(flows[0], n - 1)

    flows.append(factorial)
    assert colour.invoke(factorial, 5, thread()) == 120


def test_context_and_store_reach_nested_workflows(saver: Checkpointer, store: BaseStore, colour: Colour) -> None:
    @colour.task
    async def remember() -> None:
        if colour.task_is_async:
            await get_store().aput(("notes",), "k", {"v": 1})
        else:
            get_store().put(("notes",), "k", {"v": 1})

    @colour.entrypoint()
    async def inner(x: int, *, runtime: Runtime[Any]) -> Any:
        await result(remember())
        return runtime.context, get_config()["configurable"]["thread_id"]

    @colour.task
    async def through() -> Any:
        return await call(inner, 1)

    @colour.entrypoint(checkpointer=saver, store=store)
    async def outer(x: int) -> Any:
        return await call(inner, x), await result(through())

    context = {"user": "ada"}
    assert colour.invoke(outer, 1, thread(), context=context) == ((context, "1"), (context, "1"))
    kept = store.get(("notes",), "k")
    assert kept is not None
    assert kept.value == {"v": 1}


def test_the_state_shows_a_nested_workflow_while_it_waits(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint()
    async def innermost(x: int) -> Any:
        return interrupt("?")

    @colour.entrypoint()
    async def inner(x: int) -> Any:
        return await call(innermost, x)

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int) -> Any:
        return await call(inner, x)

    [question] = colour.invoke(outer, 1, thread())["__interrupt__"]
    assert outer.get_state(thread()).tasks[0].state is None
    state = outer.get_state(thread(), subgraphs=True)
    shown = state.tasks[0].state
    assert shown.next == ("inner",)
    assert shown.tasks[0].name == "inner"
    assert shown.interrupts == shown.tasks[0].interrupts == (question,)
    assert shown.values is None
    assert shown.config["configurable"]["thread_id"] == "1"
    assert shown.config["configurable"]["checkpoint_ns"] != ""
    below = shown.tasks[0].state
    assert below.next == ("innermost",)
    assert below.interrupts == (question,)
    assert below.tasks[0].state is None
    assert asyncio.run(outer.aget_state(thread(), subgraphs=True)) == state
    colour.invoke(outer, Command(resume=1), thread())
    assert outer.get_state(thread(), subgraphs=True).tasks == ()


def test_a_question_beside_nested_workflows_shows_none(saver: Checkpointer, colour: Colour) -> None:
    @colour.task
    async def ask() -> Any:
        return interrupt("?")

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int) -> Any:
        return await result(ask())

    colour.invoke(outer, 1, thread())
    assert outer.get_state(thread(), subgraphs=True).tasks[0].state is None


def test_a_nested_workflow_is_not_resumed_by_itself(saver: Checkpointer, colour: Colour) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def inner(x: int) -> Any:
        return interrupt("?")

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int) -> Any:
        return await call(inner, Command(resume=1))

    with pytest.raises(InvalidResume, match="outermost"):
        colour.invoke(outer, 1, thread())


def test_a_failure_of_a_nested_workflow_can_be_handled_and_is_replayed(saver: Checkpointer, colour: Colour) -> None:
    ran: list[int] = []

    @colour.entrypoint()
    async def inner(x: int) -> Any:
        ran.append(x)
        raise ValueError("inner")

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int) -> Any:
        try:
            await call(inner, x)
        except ValueError as error:
            return str(error), interrupt("?")

    colour.invoke(outer, 1, thread())
    assert colour.invoke(outer, Command(resume=2), thread()) == ("inner", 2)
    assert ran == [1]


def test_a_failed_nested_workflow_keeps_its_finished_tasks(saver: Checkpointer, colour: Colour) -> None:
    ran: list[str] = []

    @colour.task
    async def work(name: str) -> str:
        ran.append(name)
        if ran == ["steady", "flaky"]:
            raise ConnectionError("lost")
        return name

    @colour.entrypoint()
    async def inner(x: int) -> Any:
        return await result(work("steady")), await result(work("flaky"))

    @colour.entrypoint(checkpointer=saver)
    async def outer(x: int) -> Any:
        return await call(inner, x)

    with pytest.raises(ConnectionError):
        colour.invoke(outer, 1, thread())
    assert colour.invoke(outer, None, thread()) == ("steady", "flaky")
    assert ran == ["steady", "flaky", "flaky"]


def test_blocking_and_async_workflows_may_be_nested_in_each_other(saver: Checkpointer) -> None:
    @task
    async def work(x: int) -> int:
        return x + 1

    @entrypoint()
    async def inner(x: int) -> Any:
        return await work(x), interrupt("async")

    @task
    def through(x: int) -> Any:
        return inner.invoke(x)

    @entrypoint(checkpointer=saver)
    def outer(x: int) -> Any:
        return inner.invoke(x), through(x + 10).result()

    assert outer.invoke(1, thread())["__interrupt__"][0].value == "async"
    outer.invoke(Command(resume="a"), thread())
    assert outer.invoke(Command(resume="b"), thread()) == ((2, "a"), (12, "b"))
    asyncio.run(outer.ainvoke(1, thread()))
    asyncio.run(outer.ainvoke(Command(resume="a"), thread()))
    assert asyncio.run(outer.ainvoke(Command(resume="b"), thread())) == ((2, "a"), (12, "b"))


def test_a_workflow_with_a_checkpointer_inside_one_without_is_a_run_by_itself(
    saver: Checkpointer, colour: Colour
) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def inner(x: int, *, previous: Any) -> Any:
        return previous, interrupt("?") if x else x

    @colour.entrypoint()
    async def outer(x: int) -> Any:
        return await call(inner, x, thread())

    assert colour.invoke(outer, 0) == (None, 0)
    assert list(colour.invoke(outer, 1)) == ["__interrupt__"]
    assert colour.invoke(inner, Command(resume=5), thread()) == ((None, 0), 5)


class TestInvokedFromAsyncCode:
    def test_a_blocking_workflow_runs_to_its_end_and_may_ask(self, saver: Checkpointer) -> None:
        ran: list[int] = []

        @task
        def note(x: int) -> int:
            ran.append(x)
            return x

        @entrypoint()
        def inner(x: int) -> Any:
            noted = note(x).result()
            return noted, interrupt("which?") if x == 2 else None

        @task
        async def work(x: int) -> Any:
            return inner.invoke(x)

        @entrypoint(checkpointer=saver)
        async def outer(x: int) -> Any:
            return inner.invoke(1), inner.invoke(x), await work(3)

        async def run(*args: Any) -> Any:
            async with asyncio.timeout(PATIENCE_S):
                return await outer.ainvoke(*args)

        asked = asyncio.run(run(2, thread()))
        assert [question.value for question in asked["__interrupt__"]] == ["which?"]
        assert asyncio.run(run(Command(resume="that"), thread())) == ((1, None), (2, "that"), (3, None))
        assert ran == [1, 2, 3]

    def test_an_async_workflow_is_refused_before_it_begins(self) -> None:
        ran: list[int] = []

        @entrypoint()
        async def inner(x: int) -> None:
            ran.append(x)

        @entrypoint()
        async def outer(x: int) -> str:
            with pytest.raises(UsageError, match=r"await inner\.ainvoke"):
                inner.invoke(x)
            await asyncio.sleep(0)
            return "went on"

        assert asyncio.run(outer.ainvoke(1)) == "went on"
        assert ran == []

    def test_what_would_wait_for_the_loop_that_waits_is_refused(self, saver: Checkpointer) -> None:
        @task
        async def slow() -> int:
            return 1

        @entrypoint()
        def inner(x: int) -> int:
            return slow().result()

        @entrypoint(checkpointer=saver)
        async def outer(x: int) -> int:
            return int(inner.invoke(x))

        with working(saver, outer), pytest.raises(WouldWait, match="use ainvoke"):
            outer.submit(1, thread()).result(PATIENCE_S)
        assert asyncio.run(outer.ainvoke(1, thread("2"))) == 1


def test_a_question_that_a_nested_call_leaves_behind_is_told(
    saver: Checkpointer, caplog: pytest.LogCaptureFixture
) -> None:
    @entrypoint(checkpointer=saver)
    def asks(x: int) -> Any:
        return interrupt("which?") if x else "nothing asked"

    @entrypoint(checkpointer=saver)
    def outer(x: int) -> Any:
        return asks.invoke(0, thread("below"))

    asks.invoke(1, thread("below"))
    assert outer.invoke(1, thread("above")) == "nothing asked"
    assert "goes on without an answer" in caplog.text
    assert "which?" in caplog.text
