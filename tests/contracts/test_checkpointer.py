"""What every checkpointer promises: one story for each sentence of the contract's operations."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from clew import Checkpointer, Conflict, SqliteSaver, ThreadBusy
from clew.engine.records import Piece, Queued, Record, Run, ThreadKey, Work
from clew.storage.base import (
    AddEvents,
    Append,
    Ask,
    Begin,
    DeleteThread,
    End,
    Enqueue,
    FindWork,
    Keep,
    Lease,
    LeaveQueue,
    ListQueue,
    ListRuns,
    ListThreads,
    Load,
    LoadEvents,
    LoadPieces,
    LoadRecords,
    Renew,
    StayQueued,
    Watch,
)
from clew.storage.sqlite.queue import FIND_WORK

THREAD = ThreadKey("1", "flow")
OTHER = ThreadKey("2", "flow")
LONG_S = 1e12


def new_run(id: str, number: int = 0, **more: Any) -> Run:
    given: dict[str, Any] = {"source": "input", "parent": None, "previous": None, "step": -1, "status": "running"}
    return Run(id=id, number=number, **{**given, "input": b"in", "created_s": 0.0, **more})


def begin(saver: Checkpointer, id: str = "r1", *, thread: ThreadKey = THREAD, **more: Any) -> Lease:
    """Begin a new run after whatever is there, or take up the newest if it has that id."""
    head = saver.execute(Load(thread))
    run = new_run(id, head.number + 1 if head else 0)
    if head is not None and head.id == id:
        run = replace(head, status="running", attempts=head.attempts + 1)
    given = {"owner": "a", "until_s": LONG_S, "now_s": 0.0, **more}
    return saver.execute(Begin(thread=thread, run=run, head=head, **given))


def end(saver: Checkpointer, lease: Lease, status: Any = "done", **more: Any) -> None:
    saver.execute(Append(lease=lease, end=End(status=status, ended_s=1.0, **more)))


def record(key: str, **more: Any) -> Record:
    given: dict[str, Any] = {"name": "t", "fingerprint": b"f", "arguments": "1", "state": "value", "outcome": b"o"}
    return Record(key=key, **{**given, "attempts": 1, "started_s": 1.0, "ended_s": 2.0, **more})


def pieces_of(*ids: str) -> list[Piece]:
    """Pieces that follow one another."""
    return [Piece(id=id, before=before, count=1, body=b"x") for id, before in zip(ids, (None, *ids), strict=False)]


def place(id: str, *, thread: ThreadKey = THREAD, **more: Any) -> Queued:
    return Queued(id=id, thread=thread, **{"created_s": 0.0, **more})


def waits(id: str, owner: str, until_s: float = LONG_S, **more: Any) -> Queued:
    """A caller of a process."""
    return place(id, owner=owner, until_s=until_s, **more)


def work(saver: Checkpointer, *, now_s: float = 1.0, machine: str = "here/", **more: Any) -> Sequence[Work]:
    return saver.execute(FindWork(workflows=["flow"], now_s=now_s, machine=machine, **more))


def status(saver: Checkpointer) -> str | None:
    run = saver.execute(Load(THREAD))
    return run.status if run else None


class TestReading:
    def test_a_run_comes_back_as_it_was_kept(self, saver: Checkpointer) -> None:
        run = new_run("r1", parent="p", previous="q", step=3, questions=b"?", metadata=b"m", attempts=2, crashes=1)
        saver.execute(Begin(thread=THREAD, run=run, head=None, owner="a", until_s=1, now_s=0))
        assert saver.execute(Load(THREAD)) == run
        assert saver.execute(Load(THREAD, "r1")) == run

    def test_of_a_thread_the_newest_run_is_read_or_the_one_named(self, saver: Checkpointer) -> None:
        end(saver, begin(saver, "r1"))
        end(saver, begin(saver, "r2"))
        newest, first = saver.execute(Load(THREAD)), saver.execute(Load(THREAD, "r1"))
        assert newest is not None
        assert first is not None
        assert (newest.id, first.id) == ("r2", "r1")
        assert saver.execute(Load(THREAD, "r3")) is None
        assert saver.execute(Load(OTHER)) is None
        assert saver.execute(Load(OTHER, "r1")) is None

    def test_runs_are_listed_newest_first_from_a_number_on_and_up_to_a_limit(self, saver: Checkpointer) -> None:
        for id in ("r1", "r2", "r3"):
            end(saver, begin(saver, id))
        assert [run.id for run in saver.execute(ListRuns(THREAD))] == ["r3", "r2", "r1"]
        assert [run.id for run in saver.execute(ListRuns(THREAD, before=2))] == ["r2", "r1"]
        assert [run.id for run in saver.execute(ListRuns(THREAD, before=2, limit=1))] == ["r2"]
        assert list(saver.execute(ListRuns(OTHER))) == []

    def test_a_journal_is_read_oldest_first_whole_or_by_name(self, saver: Checkpointer) -> None:
        lease, kept = begin(saver), [record("b#1"), record("a#1", name=":interrupt"), record("c#1", state="failure")]
        saver.execute(Append(lease=lease, records=kept))
        assert list(saver.execute(LoadRecords("r1"))) == kept
        assert list(saver.execute(LoadRecords("r1", ":interrupt"))) == kept[1:2]
        assert list(saver.execute(LoadRecords("r2"))) == []

    def test_pieces_are_read_with_all_before_them_oldest_first(self, saver: Checkpointer) -> None:
        pieces = pieces_of("p", "q")
        saver.execute(Append(lease=begin(saver), pieces=pieces))
        assert list(saver.execute(LoadPieces("q"))) == pieces
        assert list(saver.execute(LoadPieces("p"))) == pieces[:1]

    def test_pieces_that_follow_the_same_one_share_what_comes_before(self, saver: Checkpointer) -> None:
        lease, pieces = begin(saver), pieces_of("p", "q", "r")
        forks = [Piece(id=id, before=before, count=2, body=b"y") for id, before in (("s", "p"), ("t", "s"), ("u", "s"))]
        saver.execute(Append(lease=lease, pieces=pieces))
        saver.execute(Append(lease=lease, pieces=forks[:2]))
        saver.execute(Append(lease=lease, pieces=forks[2:]))
        assert list(saver.execute(LoadPieces("r"))) == pieces
        assert list(saver.execute(LoadPieces("t"))) == [pieces[0], *forks[:2]]
        assert list(saver.execute(LoadPieces("u"))) == [pieces[0], forks[0], forks[2]]

    def test_a_piece_that_follows_nothing_that_is_kept_is_refused(self, saver: Checkpointer) -> None:
        lease, lost = begin(saver), Piece(id="q", before="p", count=1, body=b"x")
        with pytest.raises(Conflict, match="removed"):
            saver.execute(Append(lease=lease, records=[record("a#1")], pieces=[lost]))
        assert list(saver.execute(LoadRecords("r1"))) == []

    @pytest.mark.parametrize("length", [300, 20_000, 40_000])
    def test_values_that_a_piece_holds_too_come_back_as_they_were(self, saver: Checkpointer, length: int) -> None:
        said = bytes(range(256)) * (length // 256)
        run = new_run("r1", parent="r0-1", previous="r0")
        given = replace(run, input=b"in:" + said)
        lease = saver.execute(Begin(thread=THREAD, run=given, head=None, owner="a", until_s=LONG_S, now_s=0))
        values = {"value": said[:200], "saved": b"saved"}
        piece = Piece(id="p", before=None, count=1, body=b"body:" + said)
        saver.execute(Append(lease=lease, pieces=[piece], end=End(status="done", ended_s=1.0, **values)))
        assert saver.execute(Load(THREAD)) == replace(given, status="done", ended_s=1.0, **values)
        assert saver.execute(ListRuns(THREAD)) == [saver.execute(Load(THREAD, "r1"))]
        assert list(saver.execute(LoadPieces("p"))) == [piece]

    def test_threads_are_listed_by_their_last_change(self, saver: Checkpointer) -> None:
        begin(saver, "r1", now_s=1.0)
        begin(saver, "r2", thread=OTHER, now_s=2.0)
        begin(saver, "r3", thread=ThreadKey("1", "else"), now_s=3.0)
        assert list(saver.execute(ListThreads())) == [("1", "else"), OTHER, THREAD]
        assert list(saver.execute(ListThreads("flow", limit=1))) == [OTHER]

    def test_a_thread_on_which_only_somebody_waits_is_not_listed(self, saver: Checkpointer) -> None:
        saver.execute(Enqueue(place("q1")))
        assert list(saver.execute(ListThreads())) == []


class TestBeginning:
    def test_records_take_the_place_of_those_with_the_same_keys_at_the_end(self, saver: Checkpointer) -> None:
        lease = begin(saver)
        saver.execute(Append(lease=lease, records=[record("a#1"), record("b#1")]))
        begin(saver, "r1", records=[record("a#1", outcome=b"new")], now_s=LONG_S + 1, until_s=LONG_S + 9)
        assert [(kept.key, kept.outcome) for kept in saver.execute(LoadRecords("r1"))] == [
            ("b#1", b"o"),
            ("a#1", b"new"),
        ]

    def test_every_taking_has_a_higher_epoch(self, saver: Checkpointer) -> None:
        first = begin(saver)
        end(saver, first)
        assert begin(saver, "r2").epoch > first.epoch

    def test_a_held_thread_is_refused_and_its_owner_named(self, saver: Checkpointer) -> None:
        begin(saver, until_s=10)
        with pytest.raises(ThreadBusy) as caught:
            begin(saver, "r2", owner="b", now_s=9)
        assert caught.value.owner == "a"
        begin(saver, "r2", owner="b", now_s=10)

    def test_the_leases_of_the_dead_count_as_run_out(self, saver: Checkpointer) -> None:
        begin(saver)
        begin(saver, "r2", owner="b", evicts=["x", "a"])

    def test_a_thread_that_does_not_stand_as_it_was_seen_is_refused(self, saver: Checkpointer) -> None:
        lease = begin(saver)
        seen = saver.execute(Load(THREAD))
        end(saver, lease)
        with pytest.raises(Conflict):
            saver.execute(Begin(thread=THREAD, run=new_run("r2", 1), head=seen, owner="b", until_s=9, now_s=0))
        with pytest.raises(Conflict):
            saver.execute(Begin(thread=THREAD, run=new_run("r2", 1), head=None, owner="b", until_s=9, now_s=0))
        assert status(saver) == "done"

    def test_a_run_that_is_taken_up_is_kept_as_it_is_from_now_on(self, saver: Checkpointer) -> None:
        end(saver, begin(saver), "failed", error="broken")
        head = saver.execute(Load(THREAD))
        assert head is not None
        again = replace(head, status="running", attempts=2, crashes=1, error=None, ended_s=None)
        saver.execute(Begin(thread=THREAD, run=again, head=head, owner="a", until_s=9, now_s=0))
        assert saver.execute(Load(THREAD)) == again


class TestWaitingItsTurn:
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
        assert list(saver.execute(ListQueue(THREAD))) == []

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


class TestAppending:
    def test_a_record_that_is_there_is_a_conflict_unless_it_is_replaced(self, saver: Checkpointer) -> None:
        lease = begin(saver)
        saver.execute(Append(lease=lease, records=[record("a#1")]))
        with pytest.raises(Conflict):
            saver.execute(Append(lease=lease, records=[record("b#1"), record("a#1")]))
        saver.execute(Append(lease=lease, records=[record("a#1", outcome=b"new")], replaces=["a#1"]))
        assert [(kept.key, kept.outcome) for kept in saver.execute(LoadRecords("r1"))] == [("a#1", b"new")]

    def test_an_end_says_how_the_run_ended_and_gives_the_thread_back(self, saver: Checkpointer) -> None:
        lease = begin(saver)
        saver.execute(Append(lease=lease, records=[record("a#1", state="failure")]))
        end(saver, lease, "failed", value=b"v", saved=b"s", error="e", questions=b"?", reopened=["a#1"])
        ended = new_run("r1", status="failed", value=b"v", saved=b"s", error="e", questions=b"?", ended_s=1.0)
        assert saver.execute(Load(THREAD)) == ended
        assert [kept.state for kept in saver.execute(LoadRecords("r1"))] == ["reopened"]
        begin(saver, "r2", owner="b")

    def test_a_cancelled_run_is_kept(self, saver: Checkpointer) -> None:
        end(saver, begin(saver), "cancelled")
        assert status(saver) == "cancelled"

    def test_an_end_that_removes_leaves_the_run_before_as_the_newest(self, saver: Checkpointer) -> None:
        end(saver, begin(saver, "r1"))
        lease = begin(saver, "r2")
        saver.execute(Append(lease=lease, records=[record("a#1")]))
        saver.execute(AddEvents(lease, [b"e"]))
        end(saver, lease, "interrupted", removes=True)
        assert [run.id for run in saver.execute(ListRuns(THREAD))] == ["r1"]
        assert list(saver.execute(LoadRecords("r2"))) == []
        assert list(saver.execute(LoadEvents("r2"))) == []
        head = saver.execute(Load(THREAD))
        assert head is not None
        assert head.id == "r1"
        begin(saver, "r3")

    def test_an_end_that_removes_the_only_run_leaves_nothing_to_be_seen(self, saver: Checkpointer) -> None:
        end(saver, begin(saver), "interrupted", removes=True)
        assert saver.execute(Load(THREAD)) is None
        assert list(saver.execute(ListThreads())) == []
        assert begin(saver, "r2").run_id == "r2"

    def test_finished_runs_of_nested_workflows_are_kept_on_their_own_threads(self, saver: Checkpointer) -> None:
        nested = new_run("n1", source="update", status="done", value=b"v", input=None)
        pieces = pieces_of("p", "q")
        saver.execute(Append(lease=begin(saver), records=[record("a#1")], also=[(OTHER, nested, pieces)]))
        kept = saver.execute(Load(OTHER))
        assert kept is not None
        assert (kept.id, kept.value) == ("n1", b"v")
        assert list(saver.execute(LoadPieces("q"))) == pieces
        saver.execute(DeleteThread(THREAD.thread_id, 2.0))
        assert list(saver.execute(LoadPieces("q"))) == pieces
        saver.execute(DeleteThread(OTHER.thread_id, 2.0))
        assert list(saver.execute(LoadPieces("q"))) == []

    def test_nothing_of_a_refused_append_is_kept(self, saver: Checkpointer) -> None:
        old = begin(saver, until_s=1)
        begin(saver, now_s=2, until_s=9)
        late = Append(
            lease=old,
            records=[record("a#1")],
            pieces=[Piece(id="p", before=None, count=1, body=b"x")],
            also=[(OTHER, new_run("n1"), [])],
            end=End(status="done", ended_s=1.0),
        )
        with pytest.raises(Conflict, match="taken over"):
            saver.execute(late)
        assert list(saver.execute(LoadRecords("r1"))) == []
        assert list(saver.execute(LoadPieces("p"))) == []
        assert saver.execute(Load(OTHER)) is None
        assert status(saver) == "running"


class TestAsking:
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


class TestQueueing:
    def test_places_are_listed_in_the_order_of_arrival_as_they_were_taken(self, saver: Checkpointer) -> None:
        places = [
            place("z", act="resume", input=b"i", config=b"c", priority=3, due_s=9.0, created_s=8.0),
            waits("a", "b"),
        ]
        assert all(saver.execute(Enqueue(each)) for each in places)
        assert list(saver.execute(ListQueue(THREAD))) == places
        assert list(saver.execute(ListQueue(OTHER))) == []

    @pytest.mark.parametrize("thread", [THREAD, OTHER])
    def test_an_id_is_queued_once(self, saver: Checkpointer, thread: ThreadKey) -> None:
        begin(saver, "r1")
        saver.execute(Enqueue(place("q1")))
        assert not saver.execute(Enqueue(place("q1", thread=thread)))
        assert not saver.execute(Enqueue(place("r1", thread=thread)))
        assert [left.id for left in saver.execute(ListQueue(THREAD))] == ["q1"]
        assert list(saver.execute(ListQueue(OTHER))) == []

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


class TestFindingWork:
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
        assert [each.thread.thread_id for each in work(saver, now_s=9)] == ["b", "c", "a"]
        assert [each.thread.thread_id for each in work(saver, now_s=9, limit=1)] == ["b"]


class TestEvents:
    def test_events_are_numbered_from_1_and_read_from_any_on(self, saver: Checkpointer) -> None:
        lease = begin(saver)
        saver.execute(AddEvents(lease, [b"a", b"b"]))
        saver.execute(AddEvents(lease, [b"c"]))
        assert list(saver.execute(LoadEvents("r1"))) == [(1, b"a"), (2, b"b"), (3, b"c")]
        assert list(saver.execute(LoadEvents("r1", after=2))) == [(3, b"c")]
        assert list(saver.execute(LoadEvents("r2"))) == []

    def test_the_last_events_of_a_run_may_come_when_the_next_has_begun(self, saver: Checkpointer) -> None:
        lease = begin(saver, "r1")
        end(saver, lease)
        begin(saver, "r2")
        saver.execute(AddEvents(lease, [b"last"]))
        assert list(saver.execute(LoadEvents("r1"))) == [(1, b"last")]

    def test_who_was_overtaken_adds_no_events(self, saver: Checkpointer) -> None:
        old = begin(saver, until_s=1)
        begin(saver, now_s=2)
        with pytest.raises(Conflict):
            saver.execute(AddEvents(old, [b"a"]))
        assert list(saver.execute(LoadEvents("r1"))) == []


class TestKeepingByHand:
    def test_a_kept_run_gets_the_next_number_and_is_the_newest(self, saver: Checkpointer) -> None:
        end(saver, begin(saver))
        head = saver.execute(Load(THREAD))
        pieces = pieces_of("p", "q")
        kept = saver.execute(Keep(THREAD, new_run("k1", 99, status="done"), head, now_s=2.0, pieces=pieces))
        assert list(saver.execute(LoadPieces("q"))) == pieces
        assert kept.number == 1
        assert saver.execute(Load(THREAD)) == kept

    def test_a_held_thread_is_refused_unless_its_owner_is_dead(self, saver: Checkpointer) -> None:
        lease = begin(saver)
        head = saver.execute(Load(THREAD))
        with pytest.raises(ThreadBusy) as caught:
            saver.execute(Keep(THREAD, new_run("k1", status="done"), head, now_s=2.0))
        assert caught.value.owner == "a"
        saver.execute(Keep(THREAD, new_run("k1", status="done"), head, now_s=2.0, evicts=["a"]))
        with pytest.raises(Conflict):
            saver.execute(Append(lease=lease, records=[record("a#1")]))

    def test_a_thread_that_changed_since_it_was_seen_is_refused(self, saver: Checkpointer) -> None:
        end(saver, begin(saver))
        with pytest.raises(Conflict):
            saver.execute(Keep(THREAD, new_run("k1", status="done"), None, now_s=2.0))


class TestRenewing:
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


class TestOneFile:
    def test_an_error_that_somebody_holds_keeps_no_state_of_the_file(self, tmp_path: Path) -> None:
        with closing(SqliteSaver(tmp_path / "a.db")) as saver, closing(SqliteSaver(tmp_path / "a.db")) as other:
            for owner in ("b", "c", "d"):
                saver.execute(Enqueue(waits(owner, owner)))
            with pytest.raises(ThreadBusy) as held:
                begin(saver)
            other.execute(Enqueue(place("from elsewhere")))
            assert saver.execute(Enqueue(place("from here")))
            assert held.value.owner == "b"


class TestCosts:
    def test_work_is_found_by_indexes(self, tmp_path: Path) -> None:
        with closing(SqliteSaver(tmp_path / "a.db")) as saver:
            plan = saver.database.read(
                lambda connection: connection.execute(f"EXPLAIN QUERY PLAN {FIND_WORK}", ("[]", 1, "m", 1)).fetchall()
            )
        scanned = [line for *_, line in plan if line.startswith("SCAN") and "clew_" in line]
        assert all("clew_threads_held" in line for line in scanned), scanned  # an index of what is held now

    def test_an_append_is_one_insert_per_record_within_its_transaction(self, tmp_path: Path) -> None:
        with closing(SqliteSaver(tmp_path / "a.db")) as saver:
            lease = begin(saver)
            saver.execute(Append(lease=lease, records=[record("a#1")]))
            said: list[str] = []
            saver.database.write(lambda connection: connection.set_trace_callback(said.append))
            del said[:]
            saver.execute(Append(lease=lease, records=[record("b#1"), record("c#1")]))
        assert [line.split()[0] for line in said] == ["BEGIN", "INSERT", "INSERT", "COMMIT"]

    def test_taking_a_thread_that_nobody_wants_asks_nothing_of_the_queue(self, tmp_path: Path) -> None:
        with closing(SqliteSaver(tmp_path / "a.db")) as saver:
            end(saver, begin(saver))
            said: list[str] = []
            saver.database.write(lambda connection: connection.set_trace_callback(said.append))
            del said[:]
            begin(saver, "r2")
        writes = [line.split()[0] for line in said]
        assert writes == ["BEGIN", "SELECT", "INSERT", "UPDATE", "COMMIT"]
