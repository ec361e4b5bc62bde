"""A workflow is crashed at every place: what survives passes, and what does not is named."""

from __future__ import annotations

import itertools
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clew import Database, InMemorySaver, InMemoryStore, SqliteSaver, entrypoint, get_store, interrupt, task
from clew.errors import UsageError
from clew.testing import CrashingCheckpointer, CrashPoint, SimulatedCrash, crash_everywhere
from support.colours import Colour, result, results, thread


def a_bit_of_everything(colour: Colour, done: list[str]) -> Any:
    @colour.task
    async def step(x: int) -> int:
        done.append(f"step {x}")
        return x + 1

    @colour.task
    async def breaks(x: int) -> None:
        raise ValueError(f"cannot {x}")

    @colour.task
    async def remember(x: int) -> int:
        if colour.task_is_async:
            await get_store().aput(("told",), "task", {"x": x})
        else:
            get_store().put(("told",), "task", {"x": x})
        return x

    @colour.entrypoint(store=InMemoryStore())
    async def flow(x: int) -> list[Any]:
        found: list[Any] = [await result(step(x)), *await results(step(10), step(20))]
        try:
            await result(breaks(x))
        except ValueError as error:
            found.append(str(error))
        found.append(await result(remember(x)))
        found.append(interrupt("go on?"))
        return [*found, await result(step(30))]

    return flow


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_sound_workflow_survives_every_crash(colour: Colour, durability: Any) -> None:
    flow = a_bit_of_everything(colour, [])
    report = crash_everywhere(flow, 1, answer=lambda question: f"yes to {question}", durability=durability)
    assert report.value == [2, 11, 21, "cannot 1", 1, "yes to go on?", 31]
    assert report.crashes[:2] == [CrashPoint(1, "before"), CrashPoint(1, "after")]
    assert len(report.crashes) >= (18 if durability == "sync" else 8)
    assert list(flow.store.search(())) == []  # its own memory was left alone


def test_the_report_names_the_tasks_that_must_bear_being_run_again() -> None:
    @task
    def pay(x: int) -> int:
        return x

    @entrypoint
    def flow(x: int) -> int:
        return pay(x).result()

    assert crash_everywhere(flow, 1).repeated == {"pay": [CrashPoint(2, "before")]}


def test_it_runs_on_a_file_as_well(tmp_path: Path, colour: Colour) -> None:
    with Database(tmp_path / "app.db") as database:
        flow = a_bit_of_everything(colour, [])
        report = crash_everywhere(flow, 1, answer=lambda question: "yes", database=database)
        assert report.value == [2, 11, 21, "cannot 1", 1, "yes", 31]


def test_chance_in_the_body_is_found(colour: Colour) -> None:
    drawn = itertools.count()

    @colour.entrypoint
    async def flow(x: int) -> int:
        return next(drawn)

    with pytest.raises(AssertionError, match=r"after append 1: it returned \d+; without a crash it returned 0"):
        crash_everywhere(flow, 1)


def test_values_that_are_to_differ_are_compared_by_the_caller() -> None:
    drawn = itertools.count()

    @task
    def number() -> int:
        return next(drawn)

    @entrypoint
    def flow(x: int) -> int:
        return number().result()

    assert crash_everywhere(flow, 1, same=lambda a, b: type(a) is type(b)).value == 0


def test_an_error_of_replay_is_named() -> None:
    drawn = itertools.count()

    @task
    def step(x: int) -> int:
        return x

    @entrypoint
    def flow(x: int) -> int:
        step(next(drawn)).result()
        return x

    with pytest.raises(AssertionError, match=r"after append 2: it raised ReplayMismatch.*without a crash it returned"):
        crash_everywhere(flow, 1)


def test_a_task_that_runs_again_although_its_outcome_was_kept_is_named() -> None:
    drawn = itertools.count()

    @task
    def step(x: int) -> str:
        return "done"

    @entrypoint(on_mismatch="rerun")
    def flow(x: int) -> str:
        return step(next(drawn)).result()

    with pytest.raises(AssertionError, match=r"after append 2: task 'step' \(step#1\) ran again although"):
        crash_everywhere(flow, 1)


def test_a_memory_that_is_written_around_the_run_is_found() -> None:
    database = InMemoryStore()

    @entrypoint(store=database)
    def flow(x: int, *, store: Any) -> int:
        store.store.put(("m",), "k", {"x": x})  # not through the run's view
        return x

    with pytest.raises(AssertionError, match="it left 1 memories, written 2 times; without a crash 1 memories"):
        crash_everywhere(flow, 1)


def test_a_workflow_that_fails_must_fail_in_the_same_way(colour: Colour) -> None:
    done: list[int] = []

    @colour.task
    async def step(x: int) -> None:
        done.append(x)

    @colour.entrypoint
    async def flow(x: int) -> None:
        await result(step(x))
        raise KeyError("always")

    with pytest.raises(KeyError, match="always"):
        crash_everywhere(flow, 1)
    assert len(done) == 1 + 6 + 1 + 1  # undisturbed, for each place and the one behind the last, and where it was lost


def test_a_question_without_an_answer_is_a_mistake() -> None:
    @entrypoint
    def flow(x: int) -> Any:
        return interrupt("go on?")

    with pytest.raises(UsageError, match=r"asks 'go on\?'; pass answer="):
        crash_everywhere(flow, 1)
    with pytest.raises(UsageError, match="needs an input"):
        crash_everywhere(flow, None)


class TestCrashingCheckpointer:
    def test_nothing_is_kept_from_the_crash_on_and_the_thread_is_free_at_once(self) -> None:
        kept = InMemorySaver()
        done: list[int] = []

        @task
        def step(x: int) -> int:
            done.append(x)
            return x

        def flow_on(saver: Any) -> Any:
            @entrypoint(checkpointer=saver)
            def flow(x: int) -> list[int]:
                return [step(n).result() for n in range(3)]

            return flow

        crashing = CrashingCheckpointer(kept, CrashPoint(3, "after"))
        with pytest.raises(SimulatedCrash, match="after append 3"):
            flow_on(crashing).invoke(0, thread())
        with pytest.raises(SimulatedCrash):
            flow_on(crashing).get_state(thread())
        assert (crashing.has_crashed, crashing.appends, len(crashing.recorded), done) == (True, 3, 2, [0, 1])
        assert flow_on(kept).invoke(None, thread()) == [0, 1, 2]
        assert done == [0, 1, 2]

    def test_without_a_crash_point_it_counts(self, tmp_path: Path) -> None:
        with closing(SqliteSaver(tmp_path / "a.db")) as kept:
            counting = CrashingCheckpointer(kept)

            @entrypoint(checkpointer=counting)
            def flow(x: int) -> int:
                return x

            assert flow.invoke(1, thread()) == 1
            assert (counting.appends, counting.has_crashed) == (2, False)
