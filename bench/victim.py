"""A run that is killed in its middle, and continued by another process: each task leaves a mark when it begins.

python -m bench.victim SYSTEM FOLDER TASKS MARKS [again]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from bench.killing import LINE_BYTES
from bench.peers import PEERS
from bench.peers.dbos import Dbos
from bench.peers.functional import Functional


def main(system: str, folder: str, tasks: int, marks: str, *, again: bool) -> None:
    """Run so many tasks, or go on with what another process left."""
    peer = PEERS[system]("sqlite", folder, "")
    if isinstance(peer, Dbos):
        peer.mortal(tasks, marking(marks), again=again)
    elif isinstance(peer, Functional):
        run(peer, tasks, marking(marks), again=again)


def marking(marks: str) -> Callable[[int], int]:
    """Return the body of a task, which writes its number when it begins."""

    def step(number: int) -> int:
        with open(marks, "ab") as written:
            written.write(f"{number:0{LINE_BYTES - 1}}\n".encode())
        time.sleep(0.0002)
        return number

    return step


def run(peer: Functional, tasks: int, body: Callable[[int], int], *, again: bool) -> None:
    """Do it by the functional API."""
    step = peer.task(body)

    @peer.entrypoint(checkpointer=peer.saver())
    def flow(n: int) -> int:
        for number in range(n):
            step(number).result()
        return n

    assert flow.invoke(None if again else tasks, peer.config("1"), **peer.options) == tasks


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], again=len(sys.argv) > 5)
