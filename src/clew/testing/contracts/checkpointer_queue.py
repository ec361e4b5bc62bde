"""What a checkpointer must do for those who wait, ask and look for work. Part of CheckpointerContract."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# These are tests: values of any shape go in, on purpose of wrong types as well.
from __future__ import annotations

from typing import Any

import pytest

from clew import Checkpointer, Conflict, ThreadBusy
from clew.engine.records import ThreadKey, Work
from clew.storage.base import AddEvents, Append, Ask, End, LoadEvents, LoadRecords, Renew, Watch
from clew.storage.queueing import Enqueue, LeaveQueue, ListQueue, StayQueued
from clew.testing.contracts.threads import (
    LONG_S,
    OTHER,
    THREAD,
    begin,
    end,
    place,
    record,
    status,
    waits,
    work,
)


class WaitingItsTurn:
    """Callers take their turn."""

    def test_a_new_run_without_a_place_waits_for_all_that_have_one(self, saver: Checkpointer) -> None:
        saver.execute(Enqueue(waits("q1", "b")))
        with pytest.raises(ThreadBusy) as caught:
            begin(saver)
        assert caught.value.owner == "b"

    def test_a_new_run_waits_for_the_places_before_its_own_only(self, saver: Checkpointer) -> None:
        for id, owner in (("q1", "a"), ("q2", "b"), ("q3", "c")):
            saver.execute(Enqueue(waits(id, owner)))
        with pytest.raises(ThreadBusy):
            begin(saver, owner="b", queued="q2")
        end(saver, begin(saver, owner="a", queued="q1"))
        begin(saver, "r2", owner="b", queued="q2")
        assert [left.id for left in saver.execute(ListQueue(THREAD))] == ["q3"]

    def test_places_of_the_same_owner_do_not_count(self, saver: Checkpointer) -> None:
        saver.execute(Enqueue(waits("q1", "a")))
        saver.execute(Enqueue(waits("q2", "a")))
        begin(saver, owner="a", queued="q2")

    def test_a_caller_comes_with_the_first_place_of_its_process(self, saver: Checkpointer) -> None:
        for id, owner in (("q1", "a"), ("q2", "b"), ("q3", "a"), ("q4", "b")):
            saver.execute(Enqueue(waits(id, owner)))
        with pytest.raises(ThreadBusy):
            begin(saver, owner="b", queued="q4")
        end(saver, begin(saver, owner="a", queued="q3"))
        with pytest.raises(ThreadBusy):
            begin(saver, "r2", owner="b", queued="q4")
        end(saver, begin(saver, "r2", owner="a", queued="q1"))
        end(saver, begin(saver, "r3", owner="b", queued="q4"))
        begin(saver, "r4", owner="b", queued="q2")

    def test_a_place_that_has_run_out_or_is_on_another_thread_gives_its_process_no_rank(
        self, saver: Checkpointer
    ) -> None:
        saver.execute(Enqueue(waits("q0", "a", thread=OTHER)))
        saver.execute(Enqueue(waits("q1", "a", until_s=5)))
        saver.execute(Enqueue(waits("q2", "b")))
        saver.execute(Enqueue(waits("q3", "a")))
        with pytest.raises(ThreadBusy) as caught:
            begin(saver, owner="a", queued="q3", now_s=5)
        assert caught.value.owner == "b"

    def test_a_submitted_call_comes_with_its_own_place_whoever_carries_it_out(self, saver: Checkpointer) -> None:
        saver.execute(Enqueue(waits("q1", "a")))
        saver.execute(Enqueue(place("q2")))
        saver.execute(Enqueue(waits("q3", "b")))
        saver.execute(Enqueue(place("q4")))
        with pytest.raises(ThreadBusy) as caught:
            begin(saver, owner="a", queued="q4")
        assert caught.value.owner == ""
        saver.execute(LeaveQueue("q2"))
        with pytest.raises(ThreadBusy) as caught:
            begin(saver, owner="a", queued="q4")
        assert caught.value.owner == "b"

    def test_places_of_the_dead_and_of_those_who_no_longer_say_that_they_wait_do_not_count(
        self, saver: Checkpointer
    ) -> None:
        saver.execute(Enqueue(waits("q1", "dead")))
        saver.execute(Enqueue(waits("q2", "gone", until_s=5)))
        saver.execute(Enqueue(waits("q3", "a")))
        saver.execute(Enqueue(waits("q4", "b")))
        begin(saver, owner="a", queued="q3", now_s=5, evicts=["dead"])
        assert [left.id for left in saver.execute(ListQueue(THREAD))] == ["q4"]  # and they are cleared away

    def test_submitted_calls_count_once_their_time_has_come(self, saver: Checkpointer) -> None:
        saver.execute(Enqueue(place("q1", due_s=5)))
        end(saver, begin(saver, now_s=4.9))
        with pytest.raises(ThreadBusy) as caught:
            begin(saver, "r2", now_s=5)
        assert caught.value.owner == ""

    def test_a_run_that_is_continued_waits_for_no_place(self, saver: Checkpointer) -> None:
        end(saver, begin(saver), "interrupted")
        saver.execute(Enqueue(waits("q1", "b")))
        begin(saver)
        assert [left.id for left in saver.execute(ListQueue(THREAD))] == ["q1"]

    def test_a_continued_run_may_serve_a_place_as_well(self, saver: Checkpointer) -> None:
        end(saver, begin(saver), "interrupted")
        saver.execute(Enqueue(place("q1", act="resume", input=b"yes")))
        begin(saver, queued="q1")
        assert [*saver.execute(ListQueue(THREAD))] == []

    @pytest.mark.parametrize("id", ["r1", "r2"], ids=["continued", "new"])
    def test_a_place_that_is_gone_is_a_conflict(self, saver: Checkpointer, id: str) -> None:
        end(saver, begin(saver), "interrupted")
        with pytest.raises(Conflict):
            begin(saver, id, queued="q1")
        assert status(saver) == "interrupted"

    def test_a_place_on_another_thread_is_none(self, saver: Checkpointer) -> None:
        saver.execute(Enqueue(place("q1", thread=OTHER)))
        with pytest.raises(Conflict):
            begin(saver, queued="q1")
        assert [left.id for left in saver.execute(ListQueue(OTHER))] == ["q1"]


class Queueing:
    """Places in a queue."""

    def test_places_are_listed_in_the_order_of_arrival_as_they_were_taken(self, saver: Checkpointer) -> None:
        places = [
            place("z", act="resume", input=b"i", config=b"c", priority=3, due_s=9.0, created_s=8.0),
            waits("a", "b"),
        ]
        assert all(saver.execute(Enqueue(each)) for each in places)
        assert [*saver.execute(ListQueue(THREAD))] == places
        assert [*saver.execute(ListQueue(OTHER))] == []

    def test_one_place_is_found_by_its_id(self, saver: Checkpointer) -> None:
        for each in (place("q1"), place("q2"), place("q3", thread=OTHER)):
            saver.execute(Enqueue(each))
        assert [*saver.execute(ListQueue(THREAD, "q2"))] == [place("q2")]
        assert [*saver.execute(ListQueue(THREAD, "q3"))] == []

    def test_the_first_submitted_call_whose_time_has_come_is_found(self, saver: Checkpointer) -> None:
        for each in (waits("q1", "b"), place("q2", due_s=9.0), place("q3", due_s=5.0), place("q4", due_s=5.0)):
            saver.execute(Enqueue(each))
        assert [found.id for found in saver.execute(ListQueue(THREAD, due_s=5.0))] == ["q3"]
        assert [found.id for found in saver.execute(ListQueue(THREAD, due_s=9.0))] == ["q2"]
        assert [*saver.execute(ListQueue(THREAD, due_s=4.9))] == []

    @pytest.mark.parametrize("thread", [THREAD, OTHER])
    def test_an_id_is_queued_once(self, saver: Checkpointer, thread: ThreadKey) -> None:
        begin(saver, "r1")
        saver.execute(Enqueue(place("q1")))
        assert not saver.execute(Enqueue(place("q1", thread=thread)))
        assert not saver.execute(Enqueue(place("r1", thread=thread)))
        assert [left.id for left in saver.execute(ListQueue(THREAD))] == ["q1"]
        assert [*saver.execute(ListQueue(OTHER))] == []

    def test_who_still_waits_says_so(self, saver: Checkpointer) -> None:
        saver.execute(Enqueue(waits("q1", "b", until_s=5)))
        assert saver.execute(StayQueued("q1", 50))
        with pytest.raises(ThreadBusy):
            begin(saver, now_s=10)
        assert not saver.execute(StayQueued("q2", 50))

    def test_a_place_is_given_up_once(self, saver: Checkpointer) -> None:
        saver.execute(Enqueue(waits("q1", "b")))
        assert saver.execute(LeaveQueue("q1"))
        assert not saver.execute(LeaveQueue("q1"))
        begin(saver)


class FindingWork:
    """What is to be done is found."""

    def test_there_is_nothing_to_do_on_threads_that_rest(self, saver: Checkpointer) -> None:
        end(saver, begin(saver))
        end(saver, begin(saver, "r2", thread=OTHER), "interrupted")
        assert list(work(saver, now_s=LONG_S)) == []

    def test_a_run_whose_lease_has_run_out_has_crashed(self, saver: Checkpointer) -> None:
        begin(saver, until_s=10)
        assert list(work(saver, now_s=9)) == []
        assert list(work(saver, now_s=10)) == [Work(thread=THREAD, owner=None, why="crashed")]

    def test_a_run_of_an_owner_on_this_machine_is_reported_with_it(self, saver: Checkpointer) -> None:
        begin(saver, owner="here/1")
        assert list(work(saver, machine="here/")) == [Work(thread=THREAD, owner="here/1", why="crashed")]
        assert list(work(saver, machine="the")) == []

    def test_of_a_thread_with_a_crashed_run_the_queue_comes_later(self, saver: Checkpointer) -> None:
        begin(saver, until_s=1)
        saver.execute(Enqueue(place("q1")))
        assert [each.why for each in work(saver, now_s=2)] == ["crashed"]

    def test_nothing_of_a_thread_that_is_held_is_reported(self, saver: Checkpointer) -> None:
        begin(saver)
        saver.execute(Enqueue(place("q1")))
        assert list(work(saver)) == []

    def test_a_submitted_call_is_found_once_its_time_has_come(self, saver: Checkpointer) -> None:
        saver.execute(Enqueue(place("q1", due_s=5)))
        assert list(work(saver, now_s=4)) == []
        assert list(work(saver, now_s=5)) == [Work(thread=THREAD, owner=None, why="queued")]

    def test_each_thread_is_reported_once(self, saver: Checkpointer) -> None:
        for id in ("q1", "q2"):
            saver.execute(Enqueue(place(id)))
        assert len(work(saver)) == 1

    def test_a_call_behind_a_caller_that_waits_is_not_reported(self, saver: Checkpointer) -> None:
        saver.execute(Enqueue(waits("q1", "b", until_s=5)))
        saver.execute(Enqueue(place("q2")))
        assert list(work(saver, now_s=4)) == []
        assert [each.why for each in work(saver, now_s=5)] == ["queued"]

    def test_a_call_behind_one_that_is_not_due_is_reported(self, saver: Checkpointer) -> None:
        saver.execute(Enqueue(place("q1", due_s=50)))
        saver.execute(Enqueue(place("q2")))
        assert [each.why for each in work(saver)] == ["queued"]

    def test_a_question_whose_time_is_over_is_found_and_comes_before_the_queue(self, saver: Checkpointer) -> None:
        end(saver, begin(saver), "interrupted", due_s=5.0)
        assert list(work(saver, now_s=4)) == []
        saver.execute(Enqueue(place("q1", due_s=5)))
        assert list(work(saver, now_s=5)) == [Work(thread=THREAD, owner=None, why="due")]

    def test_a_run_that_was_handed_over_is_due_and_the_queue_waits_for_it(self, saver: Checkpointer) -> None:
        end(saver, begin(saver), "running", due_s=5.0)
        saver.execute(Enqueue(place("q1")))
        assert list(work(saver, now_s=4)) == []
        assert list(work(saver, now_s=5)) == [Work(thread=THREAD, owner=None, why="due")]

    def test_a_run_that_was_handed_over_is_due(self, saver: Checkpointer) -> None:
        end(saver, begin(saver), "running", due_s=5.0)
        saver.execute(Enqueue(place("q1")))
        assert list(work(saver, now_s=5)) == [Work(thread=THREAD, owner=None, why="due")]

    def test_when_a_thread_was_due_is_forgotten_by_the_next_run(self, saver: Checkpointer) -> None:
        end(saver, begin(saver), "interrupted", due_s=5.0)
        end(saver, begin(saver))
        assert list(work(saver, now_s=9)) == []

    def test_only_threads_of_the_workflows_named_are_reported(self, saver: Checkpointer) -> None:
        saver.execute(Enqueue(place("q1", thread=ThreadKey("1", "else"))))
        begin(saver, thread=ThreadKey("2", "else"), until_s=0.5)
        end(saver, begin(saver, "r2", thread=ThreadKey("3", "else")), "interrupted", due_s=0.5)
        assert list(work(saver)) == []

    def test_the_highest_priority_comes_first_and_then_who_waits_longest(self, saver: Checkpointer) -> None:
        for id, priority, created_s in (("a", 0, 2.0), ("b", 1, 3.0), ("c", 0, 1.0)):
            saver.execute(Enqueue(place(id, thread=ThreadKey(id, "flow"), priority=priority, created_s=created_s)))
        found = [(each.thread.thread_id, each.priority) for each in work(saver, now_s=9)]
        assert found == [("b", 1), ("c", 0), ("a", 0)]
        assert [each.thread.thread_id for each in work(saver, now_s=9, limit=1)] == ["b"]


class Asking:
    """Runs are asked to stop."""

    def test_an_append_says_what_the_run_is_asked(self, saver: Checkpointer) -> None:
        lease = begin(saver)
        assert saver.execute(Append(lease=lease, records=[record("a#1")])) is None
        assert saver.execute(Ask(THREAD, "interrupt"))
        assert saver.execute(Append(lease=lease, records=[record("b#1"), record("c#1")])) == "interrupt"
        assert saver.execute(Append(lease=lease)) == "interrupt"
        assert [kept.key for kept in saver.execute(LoadRecords("r1"))] == ["a#1", "b#1", "c#1"]

    def test_what_is_asked_does_not_keep_an_end_from_being_kept(self, saver: Checkpointer) -> None:
        lease = begin(saver)
        saver.execute(Ask(THREAD, "cancel"))
        done = End(status="done", ended_s=1.0)
        assert saver.execute(Append(lease=lease, records=[record("a#1")], end=done)) is None
        assert status(saver) == "done"

    def test_a_record_that_is_there_is_a_conflict_for_a_run_that_is_asked_something(self, saver: Checkpointer) -> None:
        lease = begin(saver)
        saver.execute(Append(lease=lease, records=[record("a#1")]))
        saver.execute(Ask(THREAD, "cancel"))
        with pytest.raises(Conflict):
            saver.execute(Append(lease=lease, records=[record("a#1")]))

    def test_who_was_overtaken_is_asked_nothing_but_refused(self, saver: Checkpointer) -> None:
        old = begin(saver, until_s=1)
        begin(saver, now_s=2)
        saver.execute(Ask(THREAD, "cancel"))
        with pytest.raises(Conflict):
            saver.execute(Append(lease=old, records=[record("a#1")]))
        assert saver.execute(Watch([old])) == {}

    def test_what_was_asked_last_stands(self, saver: Checkpointer) -> None:
        lease = begin(saver)
        saver.execute(Ask(THREAD, "interrupt"))
        saver.execute(Ask(THREAD, "rollback"))
        assert saver.execute(Watch([lease])) == {"r1": "rollback"}

    def test_whoever_watches_hears_of_those_that_are_asked(self, saver: Checkpointer) -> None:
        leases = [begin(saver), begin(saver, "r2", thread=OTHER)]
        assert saver.execute(Watch(leases)) == {}
        saver.execute(Ask(OTHER, "cancel"))
        assert saver.execute(Watch(leases)) == {"r2": "cancel"}

    def test_only_a_run_that_holds_the_thread_can_be_asked(self, saver: Checkpointer) -> None:
        assert not saver.execute(Ask(THREAD, "cancel"))
        lease = begin(saver)
        assert not saver.execute(Ask(THREAD, "cancel", "another"))
        assert saver.execute(Ask(THREAD, "cancel", "r1"))
        end(saver, lease)
        assert not saver.execute(Ask(THREAD, "cancel"))

    def test_what_was_asked_is_forgotten_by_the_next_run(self, saver: Checkpointer) -> None:
        lease = begin(saver)
        saver.execute(Ask(THREAD, "cancel"))
        end(saver, lease, "interrupted")
        assert saver.execute(Watch([begin(saver)])) == {}

    def test_a_cancellation_stays_until_the_run_has_ended(self, saver: Checkpointer) -> None:
        begin(saver, until_s=1)
        saver.execute(Ask(THREAD, "cancel"))
        lease = begin(saver, now_s=2)  # the process died
        assert saver.execute(Watch([lease])) == {"r1": "cancel"}
        end(saver, lease, "running", due_s=2.0)  # it was handed over
        lease = begin(saver)
        assert saver.execute(Append(lease=lease, records=[record("a#1")])) == "cancel"
        end(saver, lease, "cancelled")
        assert saver.execute(Watch([begin(saver)])) == {}

    def test_a_run_that_was_handed_over_can_be_cancelled(self, saver: Checkpointer) -> None:
        end(saver, begin(saver), "running", due_s=2.0)
        assert not saver.execute(Ask(THREAD, "interrupt"))
        assert not saver.execute(Ask(THREAD, "cancel", "another"))
        assert saver.execute(Ask(THREAD, "cancel", "r1"))
        assert saver.execute(Watch([begin(saver)])) == {"r1": "cancel"}

    def test_a_cancellation_does_not_concern_the_next_run(self, saver: Checkpointer) -> None:
        begin(saver, until_s=1)
        saver.execute(Ask(THREAD, "cancel"))
        assert saver.execute(Watch([begin(saver, "r2", now_s=2)])) == {}

    @pytest.mark.parametrize("what", ["interrupt", "rollback"])
    def test_what_a_newer_input_asked_is_forgotten_by_whoever_takes_over(self, saver: Checkpointer, what: Any) -> None:
        begin(saver, until_s=1)
        saver.execute(Ask(THREAD, what))
        assert saver.execute(Watch([begin(saver, now_s=2)])) == {}


class Events:
    """Events are kept for readers elsewhere."""

    def test_events_are_numbered_from_1_and_read_from_any_on(self, saver: Checkpointer) -> None:
        lease = begin(saver)
        saver.execute(AddEvents(lease, [b"a", b"b"]))
        saver.execute(AddEvents(lease, [b"c"]))
        assert [*saver.execute(LoadEvents("r1"))] == [(1, b"a"), (2, b"b"), (3, b"c")]
        assert [*saver.execute(LoadEvents("r1", after=2))] == [(3, b"c")]
        assert [*saver.execute(LoadEvents("r2"))] == []

    def test_the_last_events_of_a_run_may_come_when_the_next_has_begun(self, saver: Checkpointer) -> None:
        lease = begin(saver, "r1")
        end(saver, lease)
        begin(saver, "r2")
        saver.execute(AddEvents(lease, [b"last"]))
        assert [*saver.execute(LoadEvents("r1"))] == [(1, b"last")]

    def test_who_was_overtaken_adds_no_events(self, saver: Checkpointer) -> None:
        old = begin(saver, until_s=1)
        begin(saver, now_s=2)
        with pytest.raises(Conflict):
            saver.execute(AddEvents(old, [b"a"]))
        assert [*saver.execute(LoadEvents("r1"))] == []


class Renewing:
    """Leases are renewed."""

    def test_a_renewed_lease_is_held_for_longer(self, saver: Checkpointer) -> None:
        lease = begin(saver, until_s=10)
        saver.execute(Renew(lease, 20))
        with pytest.raises(ThreadBusy):
            begin(saver, "r2", now_s=15)

    def test_who_was_overtaken_cannot_renew(self, saver: Checkpointer) -> None:
        old = begin(saver, until_s=1)
        begin(saver, now_s=2)
        with pytest.raises(Conflict):
            saver.execute(Renew(old, 99))
