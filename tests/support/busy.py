"""A workflow that keeps its thread busy, and what waits for that thread."""

from __future__ import annotations

import threading
import time
from typing import Any

from clew import (
    Checkpointer,
)
from clew.codec.values import decode
from clew.engine.records import ThreadKey
from clew.runner.turns import turns
from clew.storage.base import ListRuns
from clew.storage.queueing import ListQueue
from support.colours import PATIENCE_S, Colour, Gate, result

THREAD = ThreadKey("1", "flow")


class TwoTasks:
    """A workflow of two tasks; that of input 0 waits in its first until the gate is opened."""

    def __init__(self, colour: Colour, saver: Checkpointer, **options: Any) -> None:
        self.begun, self.gate = Gate(), Gate()
        self.ran: list[tuple[str, int]] = []

        @colour.task
        async def first(x: int) -> int:
            self.ran.append(("first", x))
            if x == 0:
                self.begun.open()
                await self.gate.passed()
            return x

        @colour.task
        async def second(x: int) -> int:
            self.ran.append(("second", x))
            return x

        @colour.entrypoint(checkpointer=saver, **options)
        async def flow(x: int, previous: Any = None) -> Any:
            await result(first(x))
            await result(second(x))
            return [x, previous]

        self.flow: Any = flow


def in_line(length: int) -> None:
    """Wait until so many callers of this process have, or wait for, a thread."""
    pause, until_s = threading.Event(), time.monotonic() + PATIENCE_S
    while sum(map(len, turns._lines.values())) < length:
        assert time.monotonic() < until_s, f"{length} callers never came"
        pause.wait(0.001)


def in_queue(saver: Checkpointer, length: int) -> None:
    """Wait until so many callers have places in the queue of the thread."""
    pause, until_s = threading.Event(), time.monotonic() + PATIENCE_S
    while len(saver.execute(ListQueue(THREAD))) != length:
        assert time.monotonic() < until_s, f"there never were {length} places"
        pause.wait(0.005)


def runs_of(saver: Checkpointer) -> list[tuple[Any, str]]:
    """Return the input and the status of each run of the thread, oldest first."""
    return [(decode(run.input), run.status) for run in reversed(saver.execute(ListRuns(THREAD))) if run.input]


def until_asked(saver: Any, how: str) -> None:
    """Wait until the run on the thread was asked to stop."""
    pause, until_s = threading.Event(), time.monotonic() + PATIENCE_S
    while True:
        asked = saver.database.read(lambda connection: connection.execute("SELECT asked FROM clew_threads").fetchone())
        if asked == (how,):
            return
        assert time.monotonic() < until_s
        pause.wait(0.005)
