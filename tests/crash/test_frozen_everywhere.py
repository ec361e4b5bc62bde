"""A process may be frozen anywhere for longer than its lease: another one takes over, and it wakes up to a Conflict."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("frozen_everywhere.py")
ENDED_WELL, OVERTAKEN = 0, 3


@pytest.mark.parametrize("colour", ["blocking", "async"])
def test_who_wakes_up_after_its_lease_writes_nothing(colour: str, tmp_path: Path) -> None:
    """What was recorded before is not done again, by nobody.

    What was under way when the process froze is done by its successor, and perhaps once more by the one who woke up:
    no database can take back what it does to the world outside. What it comes to is not kept.
    """
    command = [sys.executable, "-W", "error", str(PROGRAM), colour, colour, str(tmp_path)]
    short_lease = {**os.environ, "CLEW_LEASE_S": "0.7"}
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=short_lease)
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    expected, places = report["expected"], report["places"]
    assert len(places) > 20
    for place, found in places.items():
        assert {name: found[name] for name in expected} == expected, place
        assert (found["recorded and done again"], found["changed by the woken one"]) == ([], []), place
        assert found["ended"] in (ENDED_WELL, OVERTAKEN), place
    in_between = [place for place, found in places.items() if found["ended"] == ENDED_WELL]
    assert len(in_between) <= 3, in_between  # where it held no thread: when it had asked, and when it was done
