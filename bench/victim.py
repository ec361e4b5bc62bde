"""A run that is killed in its middle, and continued by another process: each task that runs leaves a mark."""

from __future__ import annotations

import os
import sys
import time

from bench.peers import PEERS, Functional


def main(system: str, file: str, thread: str, tasks: int, marks: str, again: bool) -> None:
    """Run `tasks` tasks on a thread, or go on with what another process left."""
    peer = PEERS[system.lower()]("sqlite", os.path.dirname(file), "")
    assert isinstance(peer, Functional)
    peer.file = file

    @peer.task
    def step(number: int) -> int:
        with open(marks, "ab") as written:
            written.write(b"x\n")
        time.sleep(0.0002)
        return number

    @peer.entrypoint(checkpointer=peer.saver())
    def flow(n: int) -> int:
        for number in range(n):
            step(number).result()
        return n

    assert flow.invoke(None if again else tasks, peer.config(thread), **peer.options) == tasks


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]), sys.argv[5], len(sys.argv) > 6)
