"""A run of a learner can be taken back exactly, but for what somebody changed since."""

from __future__ import annotations

from typing import Any

import pytest

from clew import Database
from clew.errors import InvalidOption
from clew.learn import Learn, Undo, create_learner
from support.learning import Student, about
from support.scripted import ON_1

MINE = ("memories", "{user_id}")
BOB = ("memories", "bob")


def decide(fact: str, known: dict[str, str]) -> tuple[str, str]:
    if "Lisbon" in fact:
        return "replace", about(known, "Porto")
    return ("retire", about(known, "gin")) if "no more" in fact else ("add", "")


@pytest.fixture
def learner(agent: Any, database: Database) -> Any:
    database.store.put(BOB, "home", {"content": "Lives in Porto.", "kind": "home"})
    database.store.put(BOB, "drink", {"content": "Likes gin."})
    for text in ("I moved to Lisbon", "no more of that", "I like tea"):
        agent.invoke(text, ON_1)
    return create_learner(agent, Student(decide=decide), memory=MINE)


def values(database: Database) -> dict[str, Any]:
    return {item.key: item.value for item in database.store.search(())}


def test_a_run_is_taken_back_exactly(learner: Any, database: Database) -> None:
    before = values(database)
    learned = learner.invoke(Learn(), ON_1)
    assert [change.action for change in learned.changes] == ["replace", "retire", "add"]
    undone = learner.invoke(Undo(run=learned.run), ON_1)
    assert values(database) == before
    assert (undone.changes, undone.conflicts) == (learned.changes, [])


def test_what_was_taken_back_is_not_learned_again_by_itself(learner: Any, database: Database) -> None:
    before = values(database)
    learned = learner.invoke(Learn(), ON_1)
    learner.invoke(Undo(run=learned.run), ON_1)
    assert learner.invoke(Learn(), ON_1).messages == 0
    again = learner.invoke(Undo(run=learned.run), ON_1)
    assert (again.changes, again.conflicts) == ([], [])
    assert values(database) == before


def test_what_somebody_changed_since_is_shown_and_left(learner: Any, database: Database) -> None:
    learned = learner.invoke(Learn(), ON_1)
    [added] = [change.key for change in learned.changes if change.action == "add"]
    theirs = {"content": "Lives in Faro."}
    database.store.put(BOB, "home", theirs)
    database.store.delete(BOB, added)
    database.store.put(BOB, added, theirs)
    database.store.put(BOB, "drink", theirs)
    undone = learner.invoke(Undo(run=learned.run), ON_1)
    assert [(conflict.change.key, conflict.now) for conflict in undone.conflicts] == [
        ("home", theirs), ("drink", theirs), (added, theirs),
    ]  # fmt: skip
    assert undone.changes == []
    assert values(database) == {"home": theirs, "drink": theirs, added: theirs}


def test_the_rest_is_taken_back_all_the_same(learner: Any, database: Database) -> None:
    before = values(database)
    learned = learner.invoke(Learn(), ON_1)
    database.store.put(BOB, "drink", {"content": "Likes rum."})
    learner.invoke(Undo(run=learned.run), ON_1)
    assert values(database) == {**before, "drink": {"content": "Likes rum."}}


def test_only_runs_that_learned_can_be_taken_back(learner: Any) -> None:
    shown = learner.invoke(Learn(dry_run=True), ON_1)
    for run in ("nonsense", shown.run):
        with pytest.raises(InvalidOption, match=r"no run .* that learned something is kept on thread '1'"):
            learner.invoke(Undo(run=run), ON_1)
