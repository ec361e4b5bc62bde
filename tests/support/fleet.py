"""A fleet of workers on one PostgreSQL database that is made to suffer while messages are submitted to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from clew import Checkpointer, PostgresSaver, entrypoint, task
from clew.engine.records import ThreadKey
from clew.errors import StorageError
from clew.storage.base import ListRuns
from clew.storage.queueing import ListQueue

LEASE_S = 2.0
TASK_S = 0.02
START_S = 120.0
CLEW = "import sys; from clew.cli import main; sys.exit(main())"
PROGRAM = """
import os
from clew import PostgresSaver
from support.fleet import collecting

collect = collecting(PostgresSaver(os.environ["FLEET_ADDRESS"], schema=os.environ["FLEET_SCHEMA"]))
"""


def collecting(saver: Checkpointer) -> Any:
    """Return the workflow: a thread is the list of the messages that were applied to it."""

    @task
    def apply(message: int) -> int:
        time.sleep(TASK_S)
        return message

    @entrypoint(checkpointer=saver)
    def collect(message: int, *, previous: list[int] | None = None) -> list[int]:
        return [*(previous or []), apply(message).result()]

    return collect


class Fleet:
    """Workers, as processes, each with its own address of the database.

    Args:
        folder: for the program and what the workers write.
        schema: of the database.
    """

    def __init__(self, folder: Path, schema: str) -> None:
        self._folder = folder
        self._schema = schema
        (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self, address: str, inside: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start another worker.

        Args:
            address: of the database.
            inside: what goes before its command.
        """
        paths = [str(Path(__file__).parent.parent), *sys.path]
        environment = {
            **os.environ, "FLEET_ADDRESS": address, "FLEET_SCHEMA": self._schema, "CLEW_LEASE_S": str(LEASE_S),
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        }  # fmt: skip
        with (self._folder / f"worker-{len(self.workers)}.log").open("wb") as log:
            worker = subprocess.Popen(
                [*inside, sys.executable, "-c", CLEW, "worker", "program.py:collect"],
                cwd=self._folder, env=environment, stderr=log,
            )  # fmt: skip
        self.workers.append(worker)
        return worker

    def wait_until_ready(self) -> None:
        """Return once all look for work."""
        until_s = time.monotonic() + START_S
        while not all(b"carries out" in log.read_bytes() for log in self._folder.glob("worker-*.log")):
            assert time.monotonic() < until_s, "the workers did not start"
            time.sleep(0.02)

    def living(self) -> list[subprocess.Popen[bytes]]:
        """Return those that run, the oldest first."""
        return [worker for worker in self.workers if worker.poll() is None]

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()


@contextmanager
def fleet(folder: Path, schema: str) -> Iterator[Fleet]:
    """Give a fleet without workers for the length of a block."""
    made = Fleet(folder, schema)
    try:
        yield made
    finally:
        made.close()


@dataclass(frozen=True)
class Outcome:
    """What became of the messages.

    Args:
        threads: by thread, the messages that were applied to it, in order.
        runs: how many runs there are.
        taken_over: how many of them another worker went on with.
        longest_gap_s: the longest time in which no message was applied.
        took_s: from the first submission to the last application.
    """

    threads: dict[str, list[int]]
    runs: int
    taken_over: int
    longest_gap_s: float
    took_s: float

    def __str__(self) -> str:
        messages = sum(map(len, self.threads.values()))
        return (
            f"{messages} messages on {len(self.threads)} threads in {self.took_s:.1f} s; "
            f"longest gap {self.longest_gap_s:.2f} s, {self.taken_over} runs taken over"
        )


class Messages:
    """Messages for some threads: numbered on each of them, and submitted in that order.

    Args:
        saver: the database.
        threads: how many.
        messages: how many for each thread.
    """

    def __init__(self, saver: PostgresSaver, threads: int, messages: int) -> None:
        self._saver = saver
        self._collect = collecting(saver)
        self._names = [f"thread {number}" for number in range(threads)]
        self._messages = messages
        self._lock = threading.Lock()
        self.submitted = 0

    def submit_all(self, pace_s: float) -> None:
        """Submit them from a few OS threads, one on each thread in a round.

        Args:
            pace_s: how long a round takes at least.
        """
        began_s = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            for number in range(self._messages):
                time.sleep(max(0.0, began_s + number * pace_s - time.monotonic()))
                list(pool.map(lambda name: self._submit(name, number), self._names))  # noqa: B023  # done at once

    def _submit(self, name: str, number: int) -> None:
        def submit() -> None:
            config = {"configurable": {"thread_id": name}}
            self._collect.submit(number, config, run_key=str(number))  # so that a second try is no second message

        patiently(submit)
        with self._lock:
            self.submitted += 1

    def outcome(self, patience_s: float) -> Outcome:
        """Wait until all are applied, and return what became of them."""
        until_s = time.monotonic() + patience_s
        for name in self._names:
            config = {"configurable": {"thread_id": name}}
            while len(patiently(lambda: self._collect.get_state(config).values) or []) < self._messages:  # noqa: B023
                assert time.monotonic() < until_s, f"not all messages of {name} were applied: {self._shown(name)}"
                time.sleep(0.05)
        threads = {name: self._collect.get_state({"configurable": {"thread_id": name}}).values for name in self._names}
        runs = [run for name in self._names for run in self._saver.execute(ListRuns(ThreadKey(name, "collect")))]
        ends = sorted([min(run.created_s for run in runs), *(run.ended_s or 0.0 for run in runs)])
        gaps = [after - before for before, after in pairwise(ends)]
        taken_over = sum(run.attempts > 1 for run in runs)
        return Outcome(threads, len(runs), taken_over, max(gaps), ends[-1] - ends[0])

    def _shown(self, name: str) -> list[tuple[object, ...]]:
        """Return how each run of a thread stands, and what waits."""
        thread = ThreadKey(name, "collect")
        runs = [(run.number, run.status, run.error, run.attempts) for run in self._saver.execute(ListRuns(thread))]
        return [*runs, *((place.id, place.act) for place in self._saver.execute(ListQueue(thread)))]


def patiently(call: Callable[[], Any]) -> Any:
    """Call again while the database is away."""
    until_s = time.monotonic() + 60
    while True:
        try:
            return call()
        except StorageError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.1)


def freeze(worker: subprocess.Popen[bytes], seconds: float) -> None:
    """Pause a worker, and let it go on as if nothing had happened."""
    worker.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    worker.send_signal(signal.SIGCONT)


def in_turn(steps: Sequence[Callable[[], object]], when: Callable[[], float]) -> None:
    """Take steps at equal distances while `when` goes from 0 to 1."""
    for number, step in enumerate(steps, 1):
        while when() < number / (len(steps) + 1):
            time.sleep(0.02)
        step()
