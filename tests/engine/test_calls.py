"""The records of a run as a tree of calls."""

from __future__ import annotations

from clew.engine.calls import Node, call_tree
from clew.engine.questions import Question
from clew.engine.records import Record


def record(key: str, started_s: float) -> Record:
    name = key.rpartition("/")[2].partition("#")[0]
    return Record(
        key=key, name=name, fingerprint=b"", arguments="", state="value", outcome=b"", attempts=1,
        started_s=started_s, ended_s=started_s,
    )  # fmt: skip


def drawn(node: Node) -> list[object]:
    return [[inner.key, *drawn(inner)] for inner in node.below]


def test_a_call_is_below_the_call_that_made_it_in_the_order_of_their_beginnings() -> None:
    records = [record("a#1/b#1", 2.0), record("c#1", 9.0), record("a#1", 1.0), record("d#1", 0.5)]
    assert drawn(call_tree(records, [])) == [["d#1"], ["a#1", ["a#1/b#1"]], ["c#1"]]


def test_a_branch_is_no_call() -> None:
    records = [record("~b:00#1/b#1", 1.0), record("a#1/~c:00#2/c#1", 3.0), record("a#1", 2.0)]
    assert drawn(call_tree(records, [])) == [["~b:00#1/b#1"], ["a#1", ["a#1/~c:00#2/c#1"]]]


def test_a_call_that_is_not_recorded_is_there_for_what_is_below_it() -> None:
    tree = call_tree([record("flow#1/a#1", 1.0)], [])
    assert drawn(tree) == [["flow#1", ["flow#1/a#1"]]]
    assert tree.below[0].record is None


def test_what_waits_comes_last() -> None:
    asked = Question(id="q", key="flow#1/:interrupt#1", value="?", fingerprint=b"")
    tree = call_tree([record("a#1", 5.0)], [asked])
    assert drawn(tree) == [["a#1"], ["flow#1", ["flow#1/:interrupt#1"]]]
    assert tree.below[1].below[0].question is asked


def test_records_that_stand_for_no_call_are_left_out() -> None:
    assert drawn(call_tree([record(":call", 1.0), record(":failure", 2.0), record(":sleep#1", 3.0)], [])) == [
        [":sleep#1"]
    ]
