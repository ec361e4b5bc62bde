"""Limits of workflows: what a worker tries to begin, and when it looks again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any, TypeVar

import pytest

from clew import Checkpointer, Limit, Workflow, entrypoint
from clew.engine.pacing import Use
from clew.errors import LimitReached
from clew.runner.leases import this_machine, this_process
from clew.runner.limiting import Allowance
from clew.storage.base import Append, Begin, End, Lease, Operation
from support.colours import PATIENCE_S, Gate, thread
from support.working import leave_half_way, working

T = TypeVar("T")
LONG_S = 1000.0  # who looked from time to time only would not get to it in a test
NOBODY: Counter[str] = Counter()
DEAD = f"{this_machine()}/{2**22}/1"


def echo(saver: Checkpointer, name: str = "echo") -> Workflow[Any, Any]:
    def function(x: int) -> int:
        return x

    return entrypoint(checkpointer=saver, name=name)(function)


def held(saver: Checkpointer) -> Lease:
    """Hold a thread as a process elsewhere does."""
    return leave_half_way(saver, "echo", "elsewhere", 0, lease_s=LONG_S)


class TestAllowance:
    def test_without_a_limit_there_is_room_for_any_number(self) -> None:
        assert Allowance({"a": None}).room({}, Counter(a=1_000))["a"] > 1_000

    def test_runs_here_and_elsewhere_take_room(self) -> None:
        allowance = Allowance({"a": Limit(concurrency=5)})
        use = {"a": Use(owners=[this_process(), "elsewhere", "elsewhere"])}
        assert allowance.room(use, NOBODY) == {"a": 2}
        # Two runs were begun here, and one of them holds its lease already.
        assert allowance.room(use, Counter(a=2)) == {"a": 1}

    def test_runs_of_the_dead_take_no_room_for_they_are_to_go_on(self) -> None:
        allowance = Allowance({"a": Limit(concurrency=2)})
        assert allowance.room({"a": Use(owners=[DEAD, "elsewhere"])}, NOBODY) == {"a": 1}

    def test_beginnings_take_room(self) -> None:
        allowance = Allowance({"a": Limit(rate=5), "b": Limit(concurrency=1, rate=5)})
        assert allowance.room({"a": Use(begun=3), "b": Use(begun=3)}, NOBODY) == {"a": 2, "b": 1}

    def test_where_as_many_began_as_may_there_is_room_at_the_time_that_is_told(self) -> None:
        allowance = Allowance({"a": Limit(rate=5)})
        assert allowance.room({"a": Use(begun=5, until_s=10.0)}, NOBODY) == {"a": 0}
        assert allowance.again_s() == 10.0
        allowance.forget_past(9.9)
        assert allowance.room({"a": Use()}, NOBODY) == {"a": 0}
        allowance.forget_past(10.0)
        assert allowance.room({"a": Use()}, NOBODY) == {"a": 5}

    @pytest.mark.parametrize(("until_s", "again_s"), [(8.0, 8.0), (None, 5.0)])
    def test_what_was_refused_is_left_alone_for_a_while(self, until_s: float | None, again_s: float) -> None:
        allowance = Allowance({"a": Limit(concurrency=1), "b": None})
        allowance.refused("a", LimitReached("full", until_s), or_s=5.0)
        assert allowance.again_s() == again_s
        assert allowance.room({"a": Use()}, NOBODY)["a"] == 0

    @pytest.mark.parametrize("ended", ["a", None])
    def test_a_run_that_ends_makes_it_worth_trying(self, ended: str | None) -> None:
        allowance = Allowance({"a": Limit(concurrency=1)})
        allowance.refused("a", LimitReached("full"), or_s=5.0)
        allowance.try_again("b")
        assert allowance.room({"a": Use()}, NOBODY) == {"a": 0}
        allowance.try_again(ended)
        assert allowance.room({"a": Use()}, NOBODY) == {"a": 1}


class Counting(Checkpointer):
    """A checkpointer that counts how often a run is tried to begin."""

    def __init__(self, saver: Checkpointer) -> None:
        self._saver = saver
        self.database = saver.database
        self.begins = 0

    def execute(self, operation: Operation[T]) -> T:
        self.begins += isinstance(operation, Begin)
        return self._saver.execute(operation)

    async def aexecute(self, operation: Operation[T]) -> T:
        self.begins += isinstance(operation, Begin)
        return await self._saver.aexecute(operation)

    def close(self) -> None:
        self._saver.close()


class TestWorker:
    def test_runs_elsewhere_count_and_nothing_is_tried_in_vain(self, saver: Checkpointer) -> None:
        counting = Counting(saver)
        flow, lease = echo(counting), held(saver)
        handle = flow.submit(1, thread("a"))
        with working(counting, flow, poll_s=0.005, limits={"echo": Limit(concurrency=1)}):
            with pytest.raises(TimeoutError):
                handle.result(0.2)
            assert counting.begins == 0
            saver.execute(Append(lease=lease, end=End(status="done", ended_s=time.time())))
            assert handle.result(PATIENCE_S) == 1

    def test_it_looks_again_when_the_time_has_come(self, saver: Checkpointer) -> None:
        flow = echo(saver)
        handles = [flow.submit(x, thread(str(x))) for x in range(4)]
        began_s = time.monotonic()
        with working(saver, flow, poll_s=LONG_S, limits={"echo": Limit(rate=1, per_s=0.1)}):
            assert [handle.result(PATIENCE_S) for handle in handles] == [0, 1, 2, 3]
        assert time.monotonic() - began_s >= 0.3

    def test_those_of_higher_priority_go_first_as_places_become_free(self, saver: Checkpointer) -> None:
        begun, gate, order = threading.Event(), Gate(), list[int]()

        @entrypoint(checkpointer=saver)
        def flow(x: int) -> None:
            order.append(x)
            begun.set()
            gate.wait()

        first = flow.submit(0, thread("0"))
        with working(saver, flow, limits={"flow": Limit(concurrency=1)}):
            assert begun.wait(PATIENCE_S)
            handles = [flow.submit(x, thread(str(x)), priority=x) for x in (1, 3, 2)]
            gate.open()
            for handle in [first, *handles]:
                handle.result(PATIENCE_S)
        assert order == [0, 3, 2, 1]

    def test_work_that_cannot_be_carried_out_takes_no_place_from_other(self, saver: Checkpointer) -> None:
        leave_half_way(saver, "echo", "damaged", 0, config=b"\xc1damaged")
        flow = echo(saver)
        handles = [flow.submit(x, thread(str(x))) for x in range(3)]
        with working(saver, flow, limits={"echo": Limit(concurrency=1)}):
            assert [handle.result(PATIENCE_S) for handle in handles] == [0, 1, 2]

    def test_a_workflow_at_its_limit_holds_up_no_other(self, saver: Checkpointer) -> None:
        flow, other = echo(saver), echo(saver, "other")
        held(saver)
        waiting = [flow.submit(x, thread(str(x)), priority=9) for x in range(150)]
        with working(saver, flow, other, concurrency=2, limits={"echo": Limit(concurrency=1)}):
            assert [other.submit(x, thread(str(x))).result(PATIENCE_S) for x in range(5)] == [0, 1, 2, 3, 4]
        assert {handle.status() for handle in waiting} == {"queued"}
