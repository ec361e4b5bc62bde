"""Kills a process in the middle of a run, lets another go on, and counts the tasks that ran twice without need."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter

LINE_BYTES = 6


def killed_once(system: str, folder: str, tasks: int) -> int:
    """Return how many tasks ran again although the next one had begun, and they so were finished and recorded."""
    place = tempfile.mkdtemp(dir=folder)
    marks = os.path.join(place, "marks")
    command = [sys.executable, "-m", "bench.victim", system, place, str(tasks), marks]
    child = subprocess.Popen(command)
    while child.poll() is None and (not os.path.exists(marks) or os.path.getsize(marks) < LINE_BYTES * tasks // 2):
        time.sleep(0.0005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    under_way = _begun(marks)[-1]
    subprocess.run([*command, "again"], check=True)
    times = Counter(_begun(marks))
    assert len(times) == tasks
    times[under_way] = 1
    return times.total() - tasks


def _begun(marks: str) -> list[str]:
    with open(marks, encoding="ascii") as file:
        return file.read().split()
