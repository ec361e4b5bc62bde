"""What may go of a thread, and what must stay."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from clew.engine.pruning import Keeping, decide, left_over
from clew.engine.records import Run


def run(number: int, previous: int | None = None, **fields: Any) -> Run:
    """A run that ended `number` seconds after 0, and was given what another one saved."""
    given = None if previous is None else f"r{previous}"
    made = Run(
        id=f"r{number}", number=number, source="input", parent=None, previous=given, step=0,
        status="done", input=b"", created_s=float(number), ended_s=float(number),
    )  # fmt: skip
    return replace(made, **fields)


def decided(runs: list[Run], keeping: Keeping) -> tuple[list[str], list[str], list[str]]:
    """Ids of the runs that stay whole, that are trimmed, and that go."""
    outcome = decide(runs[::-1], keeping)
    trimmed = list(outcome.trimmed)
    return [run.id for run in outcome.stay if run.id not in trimmed], trimmed, list(outcome.gone)


CHAIN = [run(0), run(1, 0), run(2, 1), run(3, 2)]


@pytest.mark.parametrize(
    ("keeping", "whole", "trimmed", "gone"),
    [
        (Keeping(last=4), ["r3", "r2", "r1", "r0"], [], []),
        (Keeping(last=2), ["r3", "r2"], ["r1"], ["r0"]),
        (Keeping(last=1), ["r3"], ["r2"], ["r1", "r0"]),
        (Keeping(since_s=2.0), ["r3", "r2"], ["r1"], ["r0"]),
        (Keeping(last=3, since_s=3.0), ["r3", "r2", "r1"], ["r0"], []),
        (Keeping(since_s=9.0), [], ["r3"], ["r2", "r1", "r0"]),
    ],
)
def test_the_newest_runs_stay_and_of_the_one_before_them_what_it_saved(
    keeping: Keeping, whole: list[str], trimmed: list[str], gone: list[str]
) -> None:
    assert decided(CHAIN, keeping) == (whole, trimmed, gone)


@pytest.mark.parametrize("status", ["running", "failed", "interrupted", "cancelled"])
def test_a_newest_run_that_can_be_continued_stays_whole_however_old(status: str) -> None:
    runs = [*CHAIN[:3], run(3, 2, status=status)]
    assert decided(runs, Keeping(since_s=9.0)) == (["r3"], ["r2"], ["r1", "r0"])


def test_a_fork_keeps_what_it_started_from() -> None:
    runs = [*CHAIN, run(4, 0)]
    assert decided(runs, Keeping(last=1)) == (["r4"], ["r0"], ["r3", "r2", "r1"])


def test_a_run_counts_as_young_as_its_end() -> None:
    runs = [run(0, ended_s=7.0), run(1, 0), run(2, 1)]
    assert decided(runs, Keeping(since_s=5.0)) == (["r0"], ["r2"], ["r1"])


def test_a_value_set_by_hand_needs_nothing_before_it() -> None:
    runs = [*CHAIN[:3], run(3, 2, source="update", input=None)]
    assert decided(runs, Keeping(last=1)) == (["r3"], [], ["r2", "r1", "r0"])


def test_what_was_trimmed_before_needs_nothing_any_more() -> None:
    runs = [run(1, 0, input=None), run(2, 1)]
    assert decided(runs, Keeping(last=1)) == (["r2", "r1"], [], [])


def test_a_thread_without_runs_loses_nothing() -> None:
    assert decided([], Keeping(last=1)) == ([], [], [])


def test_pieces_stay_as_long_as_a_list_goes_through_them() -> None:
    before = {"a": None, "b": "a", "c": "b", "d": "a", "e": None}
    assert left_over(before, ["d"]) == ["b", "c", "e"]
    assert left_over(before, ["c", "e"]) == ["d"]
    assert left_over(before, []) == list(before)
