"""What a checkpointer must do with runs and their journals. Part of CheckpointerContract."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# These are tests: values of any shape go in, on purpose of wrong types as well.
from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from clew import Checkpointer, Conflict, ThreadBusy
from clew.engine.records import Piece, ThreadKey
from clew.storage.base import (
    AddEvents,
    Append,
    Begin,
    DeleteThread,
    End,
    Keep,
    ListRuns,
    ListThreads,
    Load,
    LoadEvents,
    LoadPieces,
    LoadRecords,
)
from clew.storage.queueing import Enqueue
from clew.testing.contracts.threads import (
    LONG_S,
    OTHER,
    THREAD,
    begin,
    end,
    new_run,
    pieces_of,
    place,
    record,
    status,
)


class Reading:
    """What is kept comes back."""

    def test_a_run_comes_back_as_it_was_kept(self, saver: Checkpointer) -> None:
        run = new_run("r1", parent="p", step=3, questions=b"?", metadata=b"m", attempts=2, crashes=1)
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
        assert [*saver.execute(ListRuns(OTHER))] == []

    def test_a_journal_is_read_oldest_first_whole_or_by_name(self, saver: Checkpointer) -> None:
        lease, kept = begin(saver), [record("b#1"), record("a#1", name=":interrupt"), record("c#1", state="failure")]
        saver.execute(Append(lease=lease, records=kept))
        assert [*saver.execute(LoadRecords("r1"))] == kept
        assert [*saver.execute(LoadRecords("r1", ":interrupt"))] == kept[1:2]
        assert [*saver.execute(LoadRecords("r2"))] == []

    def test_pieces_are_read_with_all_before_them_oldest_first(self, saver: Checkpointer) -> None:
        pieces = pieces_of("p", "q")
        saver.execute(Append(lease=begin(saver), pieces=pieces))
        assert [*saver.execute(LoadPieces("q"))] == pieces
        assert [*saver.execute(LoadPieces("p"))] == pieces[:1]

    def test_pieces_that_follow_the_same_one_share_what_comes_before(self, saver: Checkpointer) -> None:
        lease, pieces = begin(saver), pieces_of("p", "q", "r")
        forks = [Piece(id=id, before=before, count=2, body=b"y") for id, before in (("s", "p"), ("t", "s"), ("u", "s"))]
        saver.execute(Append(lease=lease, pieces=pieces))
        saver.execute(Append(lease=lease, pieces=forks[:2]))
        saver.execute(Append(lease=lease, pieces=forks[2:]))
        assert [*saver.execute(LoadPieces("r"))] == pieces
        assert [*saver.execute(LoadPieces("t"))] == [pieces[0], *forks[:2]]
        assert [*saver.execute(LoadPieces("u"))] == [pieces[0], forks[0], forks[2]]

    def test_a_piece_that_follows_nothing_that_is_kept_is_refused(self, saver: Checkpointer) -> None:
        lease, lost = begin(saver), Piece(id="q", before="p", count=1, body=b"x")
        with pytest.raises(Conflict, match="removed"):
            saver.execute(Append(lease=lease, records=[record("a#1")], pieces=[lost]))
        assert [*saver.execute(LoadRecords("r1"))] == []

    @pytest.mark.parametrize("length", [300, 20_000, 40_000])
    def test_values_that_a_piece_holds_too_come_back_as_they_were(self, saver: Checkpointer, length: int) -> None:
        said = bytes(range(256)) * (length // 256)
        run = new_run("r1", parent="r0-1")
        given = replace(run, input=b"in:" + said)
        lease = saver.execute(Begin(thread=THREAD, run=given, head=None, owner="a", until_s=LONG_S, now_s=0))
        values: dict[str, Any] = {"value": said[:200], "saved": b"saved"}
        piece = Piece(id="p", before=None, count=1, body=b"body:" + said)
        saver.execute(Append(lease=lease, pieces=[piece], end=End(status="done", ended_s=1.0, **values)))
        assert saver.execute(Load(THREAD)) == replace(given, status="done", ended_s=1.0, **values)
        assert saver.execute(ListRuns(THREAD)) == [saver.execute(Load(THREAD, "r1"))]
        assert [*saver.execute(LoadPieces("p"))] == [piece]

    def test_threads_are_listed_by_their_last_change(self, saver: Checkpointer) -> None:
        begin(saver, "r1", now_s=1.0)
        begin(saver, "r2", thread=OTHER, now_s=2.0)
        begin(saver, "r3", thread=ThreadKey("1", "else"), now_s=3.0)
        assert [*saver.execute(ListThreads())] == [("1", "else"), OTHER, THREAD]
        assert [*saver.execute(ListThreads("flow", limit=1))] == [OTHER]

    def test_a_thread_on_which_only_somebody_waits_is_not_listed(self, saver: Checkpointer) -> None:
        saver.execute(Enqueue(place("q1")))
        assert [*saver.execute(ListThreads())] == []


class Beginning:
    """A thread is taken."""

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


class Appending:
    """Outcomes are kept."""

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
        assert [*saver.execute(LoadRecords("r2"))] == []
        assert [*saver.execute(LoadEvents("r2"))] == []
        head = saver.execute(Load(THREAD))
        assert head is not None
        assert head.id == "r1"
        begin(saver, "r3")

    def test_an_end_that_removes_the_only_run_leaves_nothing_to_be_seen(self, saver: Checkpointer) -> None:
        end(saver, begin(saver), "interrupted", removes=True)
        assert saver.execute(Load(THREAD)) is None
        assert [*saver.execute(ListThreads())] == []
        assert begin(saver, "r2").run_id == "r2"

    def test_finished_runs_of_nested_workflows_are_kept_on_their_own_threads(self, saver: Checkpointer) -> None:
        nested = new_run("n1", source="update", status="done", value=b"v", input=None)
        pieces = pieces_of("p", "q")
        left = Keep(thread=OTHER, run=nested, head=None, now_s=1.0, pieces=pieces)
        saver.execute(Append(lease=begin(saver), records=[record("a#1")], also=[left]))
        kept = saver.execute(Load(OTHER))
        assert kept is not None
        assert (kept.id, kept.value) == ("n1", b"v")
        assert [*saver.execute(LoadPieces("q"))] == pieces
        saver.execute(DeleteThread(THREAD.thread_id, 2.0))
        assert [*saver.execute(LoadPieces("q"))] == pieces
        saver.execute(DeleteThread(OTHER.thread_id, 2.0))
        assert [*saver.execute(LoadPieces("q"))] == []

    def test_what_a_nested_workflow_left_is_not_written_over_what_it_has_not_seen(self, saver: Checkpointer) -> None:
        saver.execute(Keep(thread=OTHER, run=new_run("n1", status="done"), head=None, now_s=1.0))
        lease = begin(saver)
        unseen = Keep(thread=OTHER, run=new_run("n2", status="done"), head=None, now_s=1.0)
        with pytest.raises(Conflict, match="changed by another writer"):
            saver.execute(Append(lease=lease, records=[record("a#1")], also=[unseen]))
        assert [*saver.execute(LoadRecords("r1"))] == []
        saver.execute(Append(lease=lease, records=[record("a#1")], also=[replace(unseen, regardless=True)]))
        assert [run.id for run in saver.execute(ListRuns(OTHER))] == ["n2", "n1"]

    def test_what_a_nested_workflow_left_does_not_stop_a_run_on_its_thread(self, saver: Checkpointer) -> None:
        lease, other = begin(saver), begin(saver, "o1", thread=OTHER, until_s=9)
        head = saver.execute(Load(OTHER))
        unasked = Keep(thread=OTHER, run=new_run("n1", status="done"), head=head, now_s=2.0)
        with pytest.raises(ThreadBusy, match="run holds"):
            saver.execute(Append(lease=lease, records=[record("a#1")], also=[unasked]))
        assert [*saver.execute(LoadRecords("r1"))] == []
        end(saver, other)

    def test_nothing_of_a_refused_append_is_kept(self, saver: Checkpointer) -> None:
        old = begin(saver, until_s=1)
        begin(saver, now_s=2, until_s=9)
        late = Append(
            lease=old,
            records=[record("a#1")],
            pieces=[Piece(id="p", before=None, count=1, body=b"x")],
            also=[Keep(thread=OTHER, run=new_run("n1"), head=None, now_s=1.0)],
            end=End(status="done", ended_s=1.0),
        )
        with pytest.raises(Conflict, match="taken over"):
            saver.execute(late)
        assert [*saver.execute(LoadRecords("r1"))] == []
        assert [*saver.execute(LoadPieces("p"))] == []
        assert saver.execute(Load(OTHER)) is None
        assert status(saver) == "running"


class KeepingByHand:
    """Runs are kept without being executed."""

    def test_a_kept_run_gets_the_next_number_and_is_the_newest(self, saver: Checkpointer) -> None:
        end(saver, begin(saver))
        head = saver.execute(Load(THREAD))
        pieces = pieces_of("p", "q")
        kept = saver.execute(Keep(THREAD, new_run("k1", 99, status="done"), head, now_s=2.0, pieces=pieces))
        assert [*saver.execute(LoadPieces("q"))] == pieces
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
