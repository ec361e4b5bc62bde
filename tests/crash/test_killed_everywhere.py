"""A process may be killed before and after every write: another one goes on, nothing is lost and nothing done twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("killed_everywhere.py")


@pytest.mark.parametrize(
    ("workflow", "tasks", "durability"),
    [
        *[(colour, colour, durability) for colour in ("blocking", "async") for durability in ("sync", "async", "exit")],
        ("async", "blocking", "sync"),
    ],
    ids=str,
)
def test_a_process_killed_anywhere_loses_nothing_and_does_nothing_twice(
    workflow: str, tasks: str, durability: str, tmp_path: Path
) -> None:
    """Sequence, fan-out, nesting, a handled failure, a question, and memories written by a task and by the body.

    A call whose record was kept is not made again; one whose record was not kept is made once more.
    """
    check_story([workflow, tasks, durability, str(tmp_path)], 20 if durability == "sync" else 8)


@pytest.mark.parametrize(
    ("workflow", "tasks", "durability"),
    [("blocking", "blocking", "sync"), ("async", "async", "async"), ("async", "blocking", "exit")],
    ids=str,
)
def test_on_postgres_it_loses_nothing_and_does_nothing_twice_either(
    workflow: str, tasks: str, durability: str, tmp_path: Path, postgres: str
) -> None:
    check_story([workflow, tasks, durability, str(tmp_path), postgres], 20 if durability == "sync" else 8)


def check_story(arguments: list[str], most_places: int) -> None:
    """Kill the story everywhere, which is at more than so many places, and compare what it leaves."""
    command = [sys.executable, "-W", "error", str(PROGRAM), *arguments]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    expected = report["expected"]
    assert expected["damage"] == "[]"
    assert expected["wrong"] == "{}"
    assert len(report["places"]) > most_places
    found = {**report["places"], "again and again": report["again and again"]}
    assert {place: what for place, what in found.items() if what != expected} == {}
