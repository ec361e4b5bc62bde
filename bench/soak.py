"""Many processes, OS threads and coroutines on one database for minutes, killed and frozen by chance; then a count.

    python -m bench.soak [--minutes 3] [--workers 3] [--callers 2] [--postgres ADDRESS] [--seed 1]

It fails if an accepted message was lost, if any message stands twice, if those of one sender are out of order on a
thread, if a memory is missing or was written twice, or if the file is damaged. PostgreSQL: a fresh schema "soak".
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from bench.soaking import THREADS, Kept, config, workflows
from clew.engine.records import ThreadKey
from clew.storage.base import Load
from clew.storage.queueing import ListQueue

LEASE_S = 2.0
PATIENCE_S = 120.0


@dataclass
class Crowd:
    """The processes of a soak, and what was done to them."""

    address: str
    folder: Path
    chance: random.Random
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    callers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    def start(self, what: str) -> None:
        """Start a worker or a caller."""
        self.done[f"{what}ers started"] += 1
        name = [] if what == "work" else [f"c{self.done['callers started']}"]
        command = [sys.executable, "-m", "bench.soaking", what, self.address, *name, str(self.folder)]
        with (self.folder / f"{what}.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "CLEW_LEASE_S": str(LEASE_S)}
            )
        (self.workers if what == "work" else self.callers).append(process)

    def disturb(self) -> None:
        """Kill a process and start another one, or freeze one for longer than its lease."""
        line, what = self.chance.choice([(self.workers, "work"), (self.callers, "call")])
        process = self.chance.choice(line)
        assert process.poll() is None, f"a {what}er ended by itself, with {process.returncode}: see {what}.log"
        if self.chance.random() < 0.6:
            process.kill()
            process.wait()
            line.remove(process)
            self.done["killed"] += 1
            self.start(what)
        else:
            process.send_signal(signal.SIGSTOP)
            time.sleep(LEASE_S * (0.5 + self.chance.random() * 1.5))
            process.send_signal(signal.SIGCONT)
            self.done["frozen"] += 1

    def end(self, line: Sequence[subprocess.Popen[bytes]]) -> None:
        """Let processes end by themselves."""
        for process in line:
            process.terminate()
        for process in line:
            ended = process.wait(timeout=PATIENCE_S)
            assert ended in (0, -signal.SIGTERM), f"a process ended with {ended}"  # the latter: it had hardly started


def main() -> None:
    """Run the soak from the command line."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="clew-soak-"))
    address = options.postgres or str(folder / "soak.db")
    crowd = Crowd(address, folder, random.Random(options.seed))
    for what, number in (("work", options.workers), ("call", options.callers)):
        for _ in range(number):
            crowd.start(what)
    kept = Kept(address)
    try:
        until_s = time.monotonic() + options.minutes * 60
        while time.monotonic() < until_s:
            time.sleep(crowd.chance.random() * 4)
            crowd.disturb()
        crowd.end(crowd.callers)
        wait_until_all_is_done(kept)
        crowd.end(crowd.workers)
    finally:
        for process in [*crowd.workers, *crowd.callers]:
            process.kill()
    problems = found_wrong(kept, folder)
    kept.close()
    problems += damage(address)
    print(f"{options.minutes} minutes in {folder}:", dict(crowd.done), summary(folder))
    sys.exit("\n".join(problems) if problems else None)


def wait_until_all_is_done(kept: Kept) -> None:
    """Wait until nothing is left in any queue, and no run half-way."""
    flows, until_s = workflows(kept), time.monotonic() + PATIENCE_S
    for flow in flows.values():
        for how in ("submitted", "called"):
            for thread in range(THREADS):
                while _is_under_way(kept, flow.name, f"{how}-{thread}"):
                    assert time.monotonic() < until_s, f"{flow.name} on {how}-{thread} is not done"
                    time.sleep(0.1)


def _is_under_way(kept: Kept, flow: str, thread_id: str) -> bool:
    thread = ThreadKey(thread_id, flow)
    run = kept.checkpointer.execute(Load(thread))
    # Those of callers do not count: one that was killed leaves its place behind until the next caller comes.
    waits = [place for place in kept.checkpointer.execute(ListQueue(thread)) if place.owner is None]
    return bool(waits) or (run is not None and run.status == "running")


def found_wrong(kept: Kept, folder: Path) -> list[str]:
    """Compare what was accepted with what is there."""
    accepted: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in (folder / "accepted.txt").read_text().splitlines():
        flow, thread_id, message = line.split()
        accepted[flow, thread_id].add(message)
    problems: list[str] = []
    for name, flow in workflows(kept).items():
        for how in ("submitted", "called"):
            for thread in range(THREADS):
                where = f"{name} {how}-{thread}"
                there = flow.get_state(config(thread, how)).values or []
                lost = accepted[name, f"{how}-{thread}"] - set(there)
                problems += [f"{where}: lost {sorted(lost)}"] if lost else []
                twice = [message for message, count in Counter(there).items() if count > 1]
                problems += [f"{where}: twice {twice}"] if twice else []
                problems += [f"{where}: out of order: {order}" for order in out_of_order(there)]
                problems += [f"{where}: {problem}" for problem in wrong_memories(kept, there)]
    return problems


def out_of_order(there: Sequence[str]) -> list[str]:
    """Return the messages that come after later ones of the same sender."""
    last: dict[str, str] = {}
    found = []
    for message in there:
        sender = message.partition("-")[0]
        if message < last.get(sender, ""):
            found.append(f"{message} after {last[sender]}")
        last[sender] = message
    return found


def wrong_memories(kept: Kept, there: Sequence[str]) -> list[str]:
    """Return what is wrong with the memories of messages."""
    if kept.database is None:
        return []
    items = {message: kept.database.store.get(("told",), message) for message in there}
    missing = [message for message, item in items.items() if item is None]
    again = [message for message, item in items.items() if item is not None and item.version != 1]
    return [f"no memory of {missing}"] * bool(missing) + [f"memories written again: {again}"] * bool(again)


def damage(address: str) -> list[str]:
    """Return what the database says is wrong with its file."""
    if address.startswith("postgres"):
        return []
    with closing(sqlite3.connect(address)) as connection:
        said = [str(line) for (line,) in connection.execute("PRAGMA integrity_check")]
    return [] if said == ["ok"] else said


def summary(folder: Path) -> dict[str, int]:
    """Count messages, and tasks that ran again because nobody knew whether they had been done."""
    marks = Counter((folder / "marks.txt").read_text().split())
    accepted = len((folder / "accepted.txt").read_text().splitlines())
    return {"accepted": accepted, "noted": len(marks), "noted again": sum(marks.values()) - len(marks)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--callers", type=int, default=2)
    parser.add_argument("--postgres", metavar="ADDRESS")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
