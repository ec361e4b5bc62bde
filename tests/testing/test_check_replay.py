"""Unfinished runs are replayed against the code as it is now, and nothing else happens."""

from __future__ import annotations

from typing import Any

import pytest

from clew import Checkpointer, NotInWorkflow, entrypoint, get_config, interrupt, task
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
