"""What the log says, at which level, and the fields by which its lines are found."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from clew import Checkpointer, Command, InMemorySaver, RetryPolicy, entrypoint, interrupt, recover
from support.colours import Colour, result
from support.working import leave_half_way

ON_1: dict[str, Any] = {"configurable": {"thread_id": "1"}}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """Gives what was logged by now: level, logger, and the end of the text."""
    caplog.set_level(logging.INFO, "clew")

    def so_far() -> list[tuple[str, str, str]]:
        return [(line.levelname, line.name, line.getMessage().partition("thread '1' ")[2]) for line in caplog.records]

    return so_far


def test_a_run_says_when_it_begins_waits_goes_on_and_is_done(colour: Colour, lines: Any) -> None:
    @colour.entrypoint(checkpointer=InMemorySaver())
    async def flow(x: int) -> Any:
        return interrupt("go on?")

    colour.invoke(flow, 1, ON_1)
    colour.invoke(flow, Command(resume=1), ON_1)
    assert lines() == [
        ("INFO", "clew.runs", "begins"),
        ("INFO", "clew.runs", "waits for answers to 1 question(s)"),
        ("INFO", "clew.runs", "goes on"),
        ("INFO", "clew.runs", "is done"),
    ]


def test_a_failed_run_is_an_error_only_where_no_caller_hears_of_it(saver: Checkpointer, lines: Any) -> None:
    @entrypoint(checkpointer=saver)
    def flow(x: int) -> None:
        raise ValueError("100% wrong")

    leave_half_way(saver, "flow", "1", 1)
    recover(saver, [flow])
    with pytest.raises(ValueError, match="wrong"):
        flow.invoke(2, ON_1)
    assert lines() == [
        ("INFO", "clew.runs", "goes on after 1 crash(es)"),
        ("ERROR", "clew.runs", "failed: ValueError('100% wrong')"),
        ("INFO", "clew.runs", "begins"),
        ("INFO", "clew.runs", "failed: ValueError('100% wrong')"),
    ]


def test_a_line_about_a_run_can_be_found_by_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    @entrypoint(checkpointer=InMemorySaver())
    def flow(x: int) -> int:
        return x

    with caplog.at_level(logging.INFO, "clew"):
        flow.invoke(1, ON_1)
    assert {(line.workflow, line.thread_id, len(line.run_id)) for line in caplog.records} == {("flow", "1", 32)}  # type: ignore[attr-defined]


def test_a_task_that_is_tried_again_is_a_warning_with_its_attempt(
    colour: Colour, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[int] = []

    @colour.task(retry_policy=RetryPolicy(initial_interval=0.001, jitter=False, retry_on=ValueError))
    async def flaky(x: int) -> int:
        tried.append(x)
        if len(tried) < 3:
            raise ValueError("not yet")
        return x

    @colour.entrypoint(checkpointer=InMemorySaver())
    async def flow(x: int) -> Any:
        return await result(flaky(x))

    colour.invoke(flow, 1, ON_1)
    assert [(line.levelname, line.name, line.task, line.attempt, line.thread_id) for line in caplog.records] == [  # type: ignore[attr-defined]
        ("WARNING", "clew.tasks", "flaky", 1, "1"),
        ("WARNING", "clew.tasks", "flaky", 2, "1"),
    ]
    first = "'flaky' failed at attempt 1 and is tried again in 0.001 s: ValueError('not yet')"
    assert caplog.records[0].getMessage() == first


def test_a_task_that_goes_well_says_nothing(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    @colour.task
    async def step(x: int) -> int:
        return x

    @colour.entrypoint
    async def flow(x: int) -> Any:
        return await result(step(x))

    with caplog.at_level(logging.DEBUG, "clew"):
        colour.invoke(flow, 1)
    assert caplog.records == []


def test_that_a_thread_is_taken_from_a_process_that_has_ended_is_logged(
    saver: Checkpointer, caplog: pytest.LogCaptureFixture
) -> None:
    from clew.runner.leases import this_machine

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> int:
        return x

    leave_half_way(saver, "flow", "1", 7, lease_s=60, owner=f"{this_machine()}/0/1")
    with caplog.at_level(logging.INFO, "clew"):
        assert flow.invoke(None, ON_1) == 7
    (line,) = [line for line in caplog.records if "taken over" in line.getMessage()]
    assert (line.levelname, line.name) == ("INFO", "clew.runs")
    assert line.thread_id == "1"  # type: ignore[attr-defined]
