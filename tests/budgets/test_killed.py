"""How many tasks run again after a process was killed: none that had been recorded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

PROGRAM = """
import sys
from clew import SqliteSaver, entrypoint, task

marks, database, is_first = sys.argv[1], sys.argv[2], sys.argv[3] == "first"

@task
def step(number):
    with open(marks, "a") as file:
        file.write(f"{number}\\n")
    return number

@entrypoint(checkpointer=SqliteSaver(database))
def flow(n):
    return len([step(number).result() for number in range(n)])

assert flow.invoke(300 if is_first else None, {"configurable": {"thread_id": "1"}}) == 300
"""
TRIES = 3


def begun(marks: Path) -> list[str]:
    return marks.read_text(encoding="utf-8").split() if marks.exists() else []


def test_no_recorded_task_runs_again_after_sigkill(tmp_path: Path) -> None:
    for number in range(TRIES):
        marks = tmp_path / f"marks{number}"
        command = [sys.executable, "-c", PROGRAM, str(marks), str(tmp_path / f"{number}.db")]
        child = subprocess.Popen([*command, "first"])
        while child.poll() is None and len(begun(marks)) < 40 * (number + 1):
            time.sleep(0.001)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        under_way = begun(marks)[-1]
        subprocess.run([*command, "again"], check=True)
        times = Counter(begun(marks))
        assert len(times) == 300
        assert {name for name, count in times.items() if count > 1} <= {under_way}
