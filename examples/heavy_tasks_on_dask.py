"""Tasks too heavy for one machine, carried out by Dask: the workflow runs here, its tasks wherever Dask has room.

    pip install clew distributed
    python examples/heavy_tasks_on_dask.py                      # on processes of this machine
    python examples/heavy_tasks_on_dask.py tcp://scheduler:8786 # on a cluster that is there already

Only the function and its arguments travel. What each piece gave is recorded here as soon as it is known: stop the
program and start it again, and only the pieces that are missing are computed.
"""

from __future__ import annotations

import random
import sys
from concurrent.futures import Executor
from typing import Any

from distributed import Client

from clew import Database, Workflow, entrypoint, task

PIECES, POINTS = 8, 50_000


def build(executor: Executor, database: Database) -> Workflow[int, float]:
    """Make the workflow. Its input is the number of points in each piece, its value a guess of pi."""

    @task(executor=executor)
    def inside_circle(piece: int, points: int) -> int:
        chance = random.Random(piece)
        return sum(chance.random() ** 2 + chance.random() ** 2 < 1 for _ in range(points))

    @entrypoint(database=database)
    def guess_pi(points: int) -> float:
        pieces = [inside_circle(piece, points) for piece in range(PIECES)]
        return 4 * sum(piece.result() for piece in pieces) / (PIECES * points)

    return guess_pi


def main(*scheduler: str) -> None:
    """Guess, or go on with the guess that was begun."""
    config: Any = {"configurable": {"thread_id": "pi"}}
    with Client(*scheduler) as client, Database("sqlite:///pi.db") as database:
        flow = build(client.get_executor(), database)
        is_half_way = bool(flow.get_state(config).next)
        print("pi is about", flow.invoke(None if is_half_way else POINTS, config))


if __name__ == "__main__":
    main(*sys.argv[1:])
