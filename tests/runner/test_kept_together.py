"""Blocking calls that go on side by side wait for their commit together, and no OS thread waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from clew import SqliteSaver, entrypoint, task
from clew.engine.activities import WatchedCall
from clew.errors import Conflict, Unavailable
from clew.runner import crew_io, pools
from clew.runner.watching import observe
from clew.storage.base import Append, Operation
from support.colours import PATIENCE_S, thread


class Held(SqliteSaver):
    """A file to which records are written only once `gate` is open; it notes how many came with each commit."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = threading.Event()
        self.came = threading.Event()
        self.together: list[list[str]] = []
        self.refuses: dict[str, Exception] = {}

    def execute(self, operation: Operation[Any]) -> Any:
        if isinstance(operation, Append) and operation.records:
            self.came.set()
            assert self.gate.wait(PATIENCE_S)
            keys = [record.key for record in operation.records]
            for key in keys:
                if key in self.refuses:
                    raise self.refuses[key]
            self.together.append(keys)
        return super().execute(operation)


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[Held]:
    saver = Held(tmp_path / "held.db")
    yield saver
    saver.gate.set()
    saver.close()


class Ran:
    """Counts calls, and lets one wait for some number of them."""

    def __init__(self) -> None:
        self._more = threading.Condition()
        self.count = 0

    def note(self) -> None:
        with self._more:
            self.count += 1
            self._more.notify_all()

    def until(self, count: int) -> bool:
        with self._more:
            return self._more.wait_for(lambda: self.count >= count, PATIENCE_S)


def fan_out(saver: Held, ran: Ran, count: int, *, then: Any = None) -> Any:
    """Give a workflow that makes so many calls before it asks for any result, and opens the gate after `then`."""

    @task
    def double(number: int) -> int:
        ran.note()
        return 2 * number

    @entrypoint(checkpointer=saver)
    def flow(start: int) -> list[Any]:
        futures = [double(number) for number in range(count)]
        if then is not None:
            then()
            saver.gate.set()
        return [future.exception() or future.result() for future in futures]

    return flow


def test_calls_go_on_while_the_first_is_kept_and_are_kept_together(saver: Held) -> None:
    ran = Ran()
    flow = fan_out(saver, ran, 100, then=lambda: ran.until(100) and saver.came.wait(PATIENCE_S))
    assert flow.invoke(0, thread("a")) == [2 * number for number in range(100)]
    assert ran.count == 100
    assert sorted(key for keys in saver.together for key in keys) == sorted(f"double#{n}" for n in range(1, 101))
    assert [len(keys) for keys in saver.together] == [1, 99]


def test_only_so_many_calls_are_done_and_not_kept(saver: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash would lose what they came to; else calls wait for their commits on the OS threads that there are."""
    monkeypatch.setattr(crew_io, "_MOST_TOGETHER", 10)
    ran, most, seen = Ran(), 10 + pools.MOST_THREADS, []

    def look() -> None:
        assert ran.until(most)
        time.sleep(0.05)
        seen.append(ran.count)

    flow = fan_out(saver, ran, 500, then=look)
    assert flow.invoke(0, thread("a")) == [2 * number for number in range(500)]
    assert seen == [most]
    assert max(map(len, saver.together)) == 10


def test_long_outcomes_are_not_kept_together(saver: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_io, "_MOST_BYTES", 1)
    ran = Ran()
    flow = fan_out(saver, ran, 20, then=lambda: ran.until(20))
    assert flow.invoke(0, thread("a")) == [2 * number for number in range(20)]
    assert {len(keys) for keys in saver.together} == {1}


def test_one_that_another_writer_has_recorded_fails_alone(saver: Held) -> None:
    ran = Ran()
    saver.refuses["double#7"] = Conflict("recorded by another writer")
    flow = fan_out(saver, ran, 20, then=lambda: ran.until(20))
    values = flow.invoke(0, thread("a"))
    assert [number for number, value in enumerate(values) if value != 2 * number] == [6]
    assert values[6] is saver.refuses["double#7"]


def test_what_is_not_kept_is_told_and_runs_again(saver: Held) -> None:
    ran = Ran()
    saver.refuses["double#7"] = Unavailable("the disk is full")

    @task
    def double(number: int) -> int:
        ran.note()
        return 2 * number

    @entrypoint(checkpointer=saver)
    def flow(start: int) -> list[int]:
        futures = [double(number) for number in range(20)]
        ran.until(20)
        saver.gate.set()
        return [future.result() for future in futures]

    with pytest.raises(Unavailable, match="the disk is full"):
        flow.invoke(0, thread("a"))
    kept = {key for keys in saver.together for key in keys if key.startswith("double")}
    assert "double#7" not in kept
    saver.refuses.clear()
    assert flow.invoke(None, thread("a")) == [2 * number for number in range(20)]
    assert ran.count == 20 + 20 - len(kept)


def test_a_call_ends_in_the_context_in_which_it_began(saver: Held) -> None:
    ended: list[str] = []
    inside: ContextVar[str] = ContextVar("inside")

    class Within:
        def begun(self, activity: Any) -> Any:
            return inside.set(activity.key) if isinstance(activity, WatchedCall) else None

        def ended(self, activity: Any, begun: Any, error: BaseException | None) -> None:
            if begun is not None:
                inside.reset(begun)  # refuses a token of another context
                ended.append(activity.key)

    ran = Ran()
    flow = fan_out(saver, ran, 20, then=lambda: ran.until(20))
    observe(Within())
    try:
        flow.invoke(0, thread("a"))
    finally:
        observe(None)
    assert sorted(ended) == sorted(f"double#{number}" for number in range(1, 21))
    assert max(map(len, saver.together)) > 1


def test_calls_within_calls_are_kept_before_those_that_made_them(saver: Held) -> None:
    saver.gate.set()

    @task
    def inner(number: int) -> int:
        return number + 1

    @task
    def outer(number: int) -> int:
        return sum(future.result() for future in [inner(number) for _ in range(5)])

    @entrypoint(checkpointer=saver)
    def flow(start: int) -> int:
        return sum(future.result() for future in [outer(number) for number in range(40)])

    assert flow.invoke(0, thread("a")) == 5 * sum(range(1, 41))
    order = [key for keys in saver.together for key in keys if key.startswith("outer")]
    places = {key: place for place, key in enumerate(order)}
    for key in order:
        if "/" in key:
            assert places[key] < places[key.split("/")[0]]
