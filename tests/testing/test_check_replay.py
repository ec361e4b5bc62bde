"""Unfinished runs are replayed against the code as it is now, and nothing else happens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clew import (
    Checkpointer,
    Command,
    NotInWorkflow,
    add_messages,
    entrypoint,
    get_config,
    get_runtime,
    interrupt,
    task,
)
from clew.testing import check_replay
from support.colours import Colour, result

ON_1: dict[str, Any] = {"configurable": {"thread_id": "1"}}


def test_a_run_that_the_code_can_continue_is_no_problem(colour: Colour, saver: Checkpointer) -> None:
    ran: list[int] = []

    @colour.task
    async def step(x: int) -> int:
        ran.append(x)
        return x

    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        await result(step(x))
        return interrupt("go on?")

    colour.invoke(flow, 1, ON_1)
    (finding,) = check_replay(flow)
    assert (finding.thread_id, finding.status, finding.replayed, finding.problem) == ("1", "interrupted", 1, None)
    assert ran == [1]


def test_a_run_that_the_code_would_break_is_one(saver: Checkpointer) -> None:
    def flow_that_calls(*given: int) -> Any:
        @task
        def step(x: int) -> int:
            return x

        @entrypoint(checkpointer=saver, name="flow")
        def flow(x: int) -> Any:
            for each in given:
                step(each).result()
            return interrupt("go on?")

        return flow

    flow_that_calls(1, 2).invoke(1, ON_1)
    (finding,) = check_replay(flow_that_calls(1, 3))
    assert "recorded with (2)" in str(finding.problem)
    (finding,) = check_replay(flow_that_calls(1))
    assert "recorded calls are no longer made: 'step#2'" in str(finding.problem)


def test_whoever_looks_is_not_inside_the_run_afterwards(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: int) -> Any:
        return interrupt("go on?")

    flow.invoke(1, ON_1)
    check_replay(flow)
    with pytest.raises(NotInWorkflow):
        get_config()


def test_a_run_is_replayed_with_the_config_ids_and_thread_that_it_has(colour: Colour, saver: Checkpointer) -> None:
    @colour.task
    async def answer(messages: list[Any], of: str, thread_id: str | None) -> str:
        return "hello"

    @colour.entrypoint(checkpointer=saver)
    async def flow(said: str) -> Any:
        messages = add_messages([], [{"role": "user", "content": said}])
        user = get_config()["configurable"]["user_id"]
        await result(answer(messages, user, get_runtime().execution_info.thread_id))
        return interrupt("go on?")

    colour.invoke(flow, "hi", {"configurable": {"thread_id": "1", "user_id": "ann"}})
    (finding,) = check_replay(flow)
    assert (finding.replayed, finding.problem) == (1, None)


def test_what_is_recorded_below_a_call_that_has_not_ended_is_no_problem(saver: Checkpointer) -> None:
    @task
    def inner(x: int) -> int:
        return x

    @task
    def outer(x: int) -> Any:
        inner(x).result()
        return interrupt("first?"), interrupt("second?")

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> Any:
        return outer(x).result()

    flow.invoke(1, ON_1)
    flow.invoke(Command(resume="yes"), ON_1)
    assert [finding.problem for finding in check_replay(flow)] == [None]


@pytest.mark.parametrize("now_asked", [None, "really?"])
def test_a_question_that_waits_and_is_not_asked_any_more_is_a_problem(
    saver: Checkpointer, now_asked: str | None
) -> None:
    def flow_that_asks(question: str | None) -> Any:
        @entrypoint(checkpointer=saver, name="flow")
        def flow(x: int) -> Any:
            return interrupt(question) if question else x

        return flow

    flow_that_asks("ok?").invoke(1, ON_1)
    assert check_replay(flow_that_asks("ok?"))[0].problem is None
    problem = check_replay(flow_that_asks(now_asked))[0].problem
    assert problem is not None
    assert "the question that waits is no longer asked, or is another one: 'ok?'" in problem


def test_async_workflows_are_checked_beside_a_running_loop(saver: Checkpointer) -> None:
    @entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        return interrupt("go on?")

    async def main() -> list[Any]:
        await flow.ainvoke(1, ON_1)
        return check_replay(flow)

    assert [finding.problem for finding in asyncio.run(main())] == [None]
