"""What a checkpointer must do to hold workflows to their limits. Part of CheckpointerContract."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# These are tests: values of any shape go in, on purpose of wrong types as well.
from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from clew import Checkpointer, Limit
from clew.engine.records import ThreadKey
from clew.errors import Conflict, LimitReached, ThreadBusy
from clew.storage.base import LoadUse
from clew.storage.queueing import Enqueue
from clew.testing.contracts.threads import OTHER, begin, end, place, status, waits

ONE = Limit(concurrency=1)
TWO_IN_TEN = Limit(rate=2, per_s=10)


def named(name: str, workflow: str = "flow") -> ThreadKey:
    return ThreadKey(name, workflow)


class LimitingConcurrency:
    """No more threads of a workflow are taken than its limit allows."""

    def test_one_more_run_is_let_in_once_another_has_ended(self, saver: Checkpointer) -> None:
        first = begin(saver, "r1", limit=ONE)
        with pytest.raises(LimitReached, match="1 runs of workflow 'flow' are under way") as caught:
            begin(saver, "r2", thread=OTHER, limit=ONE)
        assert caught.value.until_s is None
        end(saver, first)
        begin(saver, "r2", thread=OTHER, limit=ONE)

    def test_nothing_is_kept_of_a_run_that_is_not_let_in(self, saver: Checkpointer) -> None:
        begin(saver, "r1", thread=OTHER)
        saver.execute(Enqueue(place("q1")))
        with pytest.raises(LimitReached):
            begin(saver, "q1", queued="q1", limit=ONE)
        assert status(saver) is None
        begin(saver, "q1", queued="q1", limit=Limit(concurrency=2))

    def test_runs_without_a_limit_count_and_are_not_held_up(self, saver: Checkpointer) -> None:
        begin(saver, "r1")
        with pytest.raises(LimitReached):
            begin(saver, "r2", thread=OTHER, limit=ONE)
        begin(saver, "r2", thread=OTHER)

    def test_those_of_other_workflows_do_not_count(self, saver: Checkpointer) -> None:
        begin(saver, "r1", thread=named("1", "other"), limit=ONE)
        begin(saver, "r2", thread=named("1"), limit=ONE)

    def test_a_lease_that_has_run_out_frees_its_place(self, saver: Checkpointer) -> None:
        begin(saver, "r1", until_s=10, limit=ONE)
        with pytest.raises(LimitReached):
            begin(saver, "r2", thread=OTHER, now_s=9, limit=ONE)
        begin(saver, "r2", thread=OTHER, now_s=10, limit=ONE)

    def test_a_run_that_goes_on_takes_the_place_that_it_had(self, saver: Checkpointer) -> None:
        begin(saver, "r1", owner="dead", limit=ONE)
        begin(saver, "r1", evicts=["dead"], limit=ONE)

    def test_a_run_that_goes_on_waits_for_a_place_if_its_own_was_taken(self, saver: Checkpointer) -> None:
        end(saver, begin(saver, "r1", limit=ONE), "interrupted")
        begin(saver, "r2", thread=OTHER, limit=ONE)
        with pytest.raises(LimitReached):
            begin(saver, "r1", limit=ONE)

    def test_leases_of_the_dead_do_not_count(self, saver: Checkpointer) -> None:
        begin(saver, "r1", owner="dead", limit=ONE)
        begin(saver, "r2", thread=OTHER, evicts=["dead"], limit=ONE)

    def test_a_limit_lets_nobody_pass_before_whom_others_come(self, saver: Checkpointer) -> None:
        begin(saver, "r1", limit=ONE)
        with pytest.raises(ThreadBusy):
            begin(saver, "r2", limit=Limit(concurrency=2))
        saver.execute(Enqueue(waits("q1", "b", thread=OTHER)))
        with pytest.raises(ThreadBusy):
            begin(saver, "r2", thread=OTHER, limit=Limit(concurrency=2))

    def test_no_two_are_let_in_at_once(self, saver: Checkpointer) -> None:
        let_in, barrier = [], threading.Barrier(8)

        def try_one(number: int) -> None:
            barrier.wait()
            with contextlib.suppress(LimitReached):
                let_in.append(begin(saver, f"r{number}", thread=named(str(number)), limit=Limit(concurrency=3, rate=9)))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(try_one, range(8)))
        assert len(let_in) == 3
        assert saver.execute(LoadUse({"flow": Limit(rate=9)}, 0.5))["flow"].begun == 3


class LimitingRate:
    """No more runs of a workflow are begun in a while than its limit allows."""

    def test_one_more_run_is_let_in_when_the_first_counts_no_more(self, saver: Checkpointer) -> None:
        for number, now_s in enumerate((100.0, 104.0)):
            begin(saver, f"r{number}", thread=named(str(number)), now_s=now_s, limit=TWO_IN_TEN)
        with pytest.raises(LimitReached, match="2 runs of workflow 'flow' began within 10 s") as caught:
            begin(saver, "r2", thread=named("2"), now_s=109.0, limit=TWO_IN_TEN)
        assert caught.value.until_s == 110.0
        begin(saver, "r2", thread=named("2"), now_s=110.0, limit=TWO_IN_TEN)
        with pytest.raises(LimitReached) as caught:
            begin(saver, "r3", thread=named("3"), now_s=110.0, limit=TWO_IN_TEN)
        assert caught.value.until_s == 114.0

    def test_runs_that_have_ended_count_and_so_does_each_that_goes_on(self, saver: Checkpointer) -> None:
        end(saver, begin(saver, "r1", now_s=1.0, limit=TWO_IN_TEN), "interrupted")
        end(saver, begin(saver, "r1", now_s=2.0, limit=TWO_IN_TEN))
        with pytest.raises(LimitReached):
            begin(saver, "r2", now_s=3.0, limit=TWO_IN_TEN)

    def test_those_that_were_not_let_in_or_have_no_limit_do_not_count(self, saver: Checkpointer) -> None:
        one = Limit(concurrency=1, rate=2, per_s=10)
        first = begin(saver, "r1", limit=one)
        for _ in range(3):
            with pytest.raises(LimitReached):
                begin(saver, "r2", thread=OTHER, limit=one)
            with pytest.raises(ThreadBusy):
                begin(saver, "r2", limit=TWO_IN_TEN)
            with pytest.raises(Conflict):
                begin(saver, "r2", thread=OTHER, queued="nowhere", limit=TWO_IN_TEN)
        begin(saver, "r3", thread=named("3"))
        end(saver, first)
        begin(saver, "r2", thread=OTHER, limit=TWO_IN_TEN)

    def test_those_of_other_workflows_have_a_rate_of_their_own(self, saver: Checkpointer) -> None:
        for workflow in ("one", "other"):
            for id in ("1", "2"):
                begin(saver, f"{workflow} {id}", thread=named(id, workflow), limit=TWO_IN_TEN)


def use(saver: Checkpointer, limit: Limit, now_s: float, workflow: str = "flow") -> tuple[list[str], int, float | None]:
    """Return who holds threads, how many runs began, and when one more may."""
    used = saver.execute(LoadUse({workflow: limit}, now_s))[workflow]
    return sorted(used.owners), used.begun, used.until_s


class LookingAtLimits:
    """Workers see how much of a limit is in use."""

    def test_nothing_is_in_use_where_nothing_runs(self, saver: Checkpointer) -> None:
        end(saver, begin(saver, limit=ONE))
        assert use(saver, ONE, 1.0) == ([], 0, None)
        assert use(saver, TWO_IN_TEN, 1.0, "other") == ([], 0, None)
        found = saver.execute(LoadUse({"flow": ONE, "other": ONE}, 1.0))
        assert {*found} == {"flow", "other"}

    def test_leases_are_named_by_their_owners_until_they_run_out(self, saver: Checkpointer) -> None:
        begin(saver, "r1", owner="a", until_s=10)
        begin(saver, "r2", thread=OTHER, owner="b", limit=Limit(concurrency=9))
        assert use(saver, ONE, 9.0) == (["a", "b"], 0, None)
        assert use(saver, ONE, 10.0) == (["b"], 0, None)

    def test_beginnings_are_counted_as_long_as_they_count(self, saver: Checkpointer) -> None:
        for number, now_s in enumerate((100.0, 104.0)):
            end(saver, begin(saver, f"r{number}", now_s=now_s, limit=TWO_IN_TEN))
        assert use(saver, TWO_IN_TEN, 109.0) == ([], 2, 110.0)
        assert use(saver, TWO_IN_TEN, 110.0) == ([], 1, None)
        assert use(saver, Limit(rate=1, per_s=10), 110.0) == ([], 1, 114.0)
