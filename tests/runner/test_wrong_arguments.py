"""What is given in the place of something else is refused by name: a part of LangGraph's, a saver for a database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import langgraph.func
import langgraph.types
import pytest

from clew import Database, InMemorySaver, InMemoryStore, asleep, entrypoint, erase, interrupt, prune, sleep, task
from clew.errors import ClewError, InvalidOption, NotRecordable
from support.colours import thread


@entrypoint(checkpointer=InMemorySaver())
def echo(given: Any) -> Any:
    return given


@pytest.mark.parametrize(
    ("given", "name"),
    [(langgraph.types.Command(resume=1), "Command"), (langgraph.func.entrypoint.final(value=1, save=2), "entrypoint")],
)
def test_values_of_langgraphs_own_kind_name_their_namesakes(given: Any, name: str) -> None:
    with pytest.raises(NotRecordable, match=f"langgraph.*means nothing here; import {name} from clew"):
        echo.invoke(given, thread("input"))


def test_a_retry_policy_of_langgraphs_is_not_taken_for_a_sequence() -> None:
    with pytest.raises(TypeError, match=r"must be clew's RetryPolicy.*not RetryPolicy\("):
        task(retry_policy=langgraph.types.RetryPolicy())  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("declare", "told"),
    [
        (lambda: entrypoint(allow=int), "allow is a list of types"),  # type: ignore[call-overload]
        (lambda: entrypoint(name=3), "name is a text, not 3"),  # type: ignore[call-overload]
    ],
)
def test_options_of_a_workflow_are_checked_where_it_is_declared(declare: Callable[[], Any], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        declare()


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), "3", True, None])
def test_a_time_to_sleep_is_a_number_of_seconds(seconds: Any) -> None:
    with pytest.raises(InvalidOption, match="time to sleep is a number"):
        sleep(seconds)
    with pytest.raises(InvalidOption, match="time to sleep is a number"):
        asyncio.run(asleep(seconds))


@pytest.mark.parametrize("timeout_s", [-1, float("nan"), "soon", False])
def test_the_time_for_an_answer_is_a_number_of_seconds(timeout_s: Any) -> None:
    with pytest.raises(InvalidOption, match="timeout_s is a number of seconds, 0 or more"):
        interrupt("go on?", timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("upkeep", "told"),
    [
        (lambda: erase(InMemorySaver(), "ann"), "erased from a Database"),  # type: ignore[arg-type]
        (lambda: prune(InMemoryStore(), keep_last=1), "a Database or a checkpointer"),  # type: ignore[arg-type]
    ],
)
def test_upkeep_names_what_it_is_done_to(upkeep: Callable[[], Any], told: str) -> None:
    with pytest.raises(ClewError, match=told):
        upkeep()


def test_a_database_and_a_checkpointer_are_both_pruned() -> None:
    with Database(":memory:") as database:
        assert prune(database, keep_last=1) == prune(database.checkpointer, keep_last=1)
