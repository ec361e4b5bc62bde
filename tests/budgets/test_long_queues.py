"""How much SQLite does for the first call of a queue, in steps: it must not grow with how many wait behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clew import SqliteSaver
from clew.storage.queueing import Enqueue, ListQueue
from clew.testing.contracts.threads import THREAD, begin, place
from support.counting import steps

FEW, MANY = 50, 500


def queued(path: Path, size: int) -> SqliteSaver:
    saver = SqliteSaver(path)
    for number in range(size):
        saver.execute(Enqueue(place(f"q{number}")))
    return saver


def steps_of(saver: SqliteSaver, work: Callable[[SqliteSaver], object]) -> int:
    return steps((saver.database._connect_writer(), saver.database._connect_reader()), lambda: work(saver))


@pytest.mark.parametrize(
    "work",
    [
        lambda saver: begin(saver, owner="a", queued="q0"),
        lambda saver: saver.execute(ListQueue(THREAD, "q0")),
        lambda saver: saver.execute(ListQueue(THREAD, due_s=1e9)),
    ],
    ids=["begin", "look", "find"],
)
def test_the_first_of_a_queue_costs_the_same_however_many_wait(
    tmp_path: Path, work: Callable[[SqliteSaver], object]
) -> None:
    few, many = (steps_of(queued(tmp_path / f"{size}.db", size), work) for size in (FEW, MANY))
    assert many <= few + 5
