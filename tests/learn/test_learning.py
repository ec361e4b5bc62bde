"""Facts that people said become memories, each with its source; what nobody said does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clew import Database, InMemorySaver, Workflow, entrypoint, erase
from clew.agents import create_agent, create_team
from clew.errors import InvalidOption, TooManyRounds
from clew.learn import Learn, create_learner
from clew.testing import crash_everywhere
from support.learning import Student, about, answer
from support.scripted import ON_1, Script, calls

MINE = ("memories", "{user_id}")
BOB = ("memories", "bob")
NOW = Learn()


def on(thread: str, user: str = "bob") -> dict[str, Any]:
    return {"configurable": {"thread_id": thread, "user_id": user}}


def contents(database: Database) -> dict[str, str]:
    return {item.key: item.value["content"] for item in database.store.search(BOB, limit=1000)}


def test_a_fact_is_kept_with_the_thread_the_run_and_the_message_that_say_it(agent: Any, database: Database) -> None:
    agent.invoke("Hello", ON_1)
    agent.invoke("I like  green tea.", ON_1)
    facts = {"I like  green tea.": [{"content": "Bob likes green tea.", "quote": "like green TEA"}]}
    learned = create_learner(agent, Student(facts), memory=MINE).invoke(NOW, ON_1)

    [item] = database.store.search(BOB)
    snapshot = agent.get_state(ON_1)
    assert item.value == {
        "content": "Bob likes green tea.",
        "thread": "1",
        "run": snapshot.config["configurable"]["checkpoint_id"].removesuffix("-1"),
        "message": snapshot.saved[2]["id"],
        "quote": "like green TEA",
    }
    [change] = learned.changes
    assert (change.action, change.key, change.after) == ("add", item.key, item.value)
    assert (learned.messages, learned.known, learned.refused) == (4, 0, [])
    [version] = database.store.history(BOB, item.key)
    assert version.written_by is not None
    assert (version.written_by.thread_id, version.written_by.run_id) == ("1", learned.run)


@pytest.mark.parametrize(
    ("fact", "why"),
    [
        ({"message": 7}, "there is no message 7"),
        ({"message": 0}, "there is no message 0"),
        ({"quote": "I like coffee"}, "message 1 does not say so"),
        ({"message": 2, "quote": "I like tea"}, "message 2 does not say so"),
        ({"quote": " "}, "it quotes nothing"),
        ({"content": ""}, "it says nothing"),
    ],
)
def test_what_nobody_said_is_refused_and_counted(agent: Any, database: Database, fact: Any, why: str) -> None:
    agent.invoke("I like tea", ON_1)
    student = Student({"I like tea": [{"content": "Bob is a spy.", **fact}]})
    learned = create_learner(agent, student, memory=MINE).invoke(NOW, ON_1)
    [refused] = learned.refused
    assert refused.why == why
    assert learned.changes == []
    assert contents(database) == {}


def test_the_same_conversation_learned_twice_changes_nothing(agent: Any, database: Database) -> None:
    for text in ("I like tea", "I live in Porto"):
        agent.invoke(text, ON_1)
    student = Student()
    learner = create_learner(agent, student, memory=MINE)
    learner.invoke(NOW, ON_1)
    before = database.store.search(BOB)
    again = learner.invoke(NOW, ON_1)
    assert (again.messages, again.changes, len(student.extracted)) == (0, [], 1)

    anew = create_learner(agent, student, memory=MINE, name="another").invoke(NOW, ON_1)  # knows of no message
    assert (anew.messages, anew.changes, anew.known) == (4, [], 2)
    after = database.store.search(BOB)
    assert [(item, item.version) for item in after] == [(item, item.version) for item in before]


def test_only_what_is_new_is_shown_with_a_little_of_what_came_before(agent: Any) -> None:
    student = Student()
    learner = create_learner(agent, student, memory=MINE)
    for text in ("a", "b", "c"):
        agent.invoke(text, ON_1)
    learner.invoke(NOW, ON_1)
    agent.invoke("d", ON_1)
    learner.invoke(NOW, ON_1)
    before, _, new = student.extracted[1].partition("New messages:\n")
    assert [before.count(f'"{text}"') for text in "abcd"] == [0, 1, 1, 0]
    assert new.splitlines()[0] == '{"message": 1, "role": "user", "text": "d"}'


def test_facts_are_added_replaced_and_retired(agent: Any, database: Database) -> None:
    def decide(fact: str, known: dict[str, str]) -> tuple[str, str]:
        if "Lisbon" in fact:
            return "replace", about(known, "Porto")
        if "no coffee" in fact:
            return "retire", about(known, "coffee")
        return ("same", about(known, "tea")) if "fond of tea" in fact else ("add", "")

    learner = create_learner(agent, Student(decide=decide), memory=MINE)
    for text in ("I live in Porto", "I like tea", "I drink coffee"):
        agent.invoke(text, ON_1)
    learner.invoke(NOW, ON_1)
    [home] = [key for key, content in contents(database).items() if "Porto" in content]
    for text in ("I moved to Lisbon", "I am fond of tea", "Now no coffee any more"):
        agent.invoke(text, ON_1)
    learned = learner.invoke(NOW, ON_1)

    assert sorted(contents(database).values()) == ["said: I like tea", "said: I moved to Lisbon"]
    assert [change.action for change in learned.changes] == ["replace", "retire"]
    assert learned.known == 1
    now, before = database.store.history(BOB, home)
    assert (now.value["content"], before.value["content"]) == ("said: I moved to Lisbon", "said: I live in Porto")
    assert now.value["message"] != before.value["message"]


def test_facts_of_one_talk_are_compared_with_each_other(agent: Any, database: Database) -> None:
    def decide(fact: str, known: dict[str, str]) -> tuple[str, str]:
        if "Oh" in fact:
            return "same", about(known, "Porto")
        if "Lisbon" in fact:
            return "replace", about(known, "Oh")
        return ("retire", about(known, "tea")) if "not" in fact else ("add", "")

    for text in ("Porto is home", "Oh, Porto!", "now Lisbon", "tea is fine", "tea? not me"):
        agent.invoke(text, ON_1)
    learned = create_learner(agent, Student(decide=decide), memory=MINE).invoke(NOW, ON_1)
    assert [change.action for change in learned.changes] == ["add"]
    assert list(contents(database).values()) == ["said: now Lisbon"]


def test_what_others_keep_in_the_namespace_stays(agent: Any, database: Database) -> None:
    database.store.put(BOB, "profile", {"name": "said: I like tea"})
    database.store.put((*BOB, "below"), "x", {"content": "said: I like tea"})
    database.store.put(BOB, "mine", {"content": "said: I live in Porto", "kind": "home"})
    agent.invoke("I like tea", ON_1)
    agent.invoke("I moved to Porto", ON_1)

    def decide(fact: str, known: dict[str, str]) -> tuple[str, str]:
        return ("replace", about(known, "live in Porto")) if "moved" in fact else ("add", "")

    learned = create_learner(agent, Student(decide=decide), memory=MINE).invoke(NOW, ON_1)
    assert [change.action for change in learned.changes] == ["add", "replace"]
    found = {item.key: item.value for item in database.store.search(())}
    assert (found["profile"], found["x"]) == ({"name": "said: I like tea"}, {"content": "said: I like tea"})
    assert (found["mine"]["kind"], found["mine"]["content"]) == ("home", "said: I moved to Porto")


def test_a_dry_run_says_what_would_change_and_changes_nothing(agent: Any, database: Database) -> None:
    agent.invoke("I like tea", ON_1)
    learner = create_learner(agent, Student(), memory=MINE)
    shown = learner.invoke(Learn(dry_run=True), ON_1)
    assert ([change.after["content"] for change in shown.changes], shown.dry_run) == (["said: I like tea"], True)
    assert contents(database) == {}
    done = learner.invoke(NOW, ON_1)
    assert [change.after["content"] for change in done.changes] == ["said: I like tea"]
    assert list(contents(database).values()) == ["said: I like tea"]


def test_whose_memory_it_is_comes_from_the_conversation(agent: Any, database: Database) -> None:
    agent.invoke("I like tea", ON_1)
    learner = create_learner(agent, Student(), memory=MINE)
    assert learner.invoke(NOW, on("1", user="eve")).namespace == BOB
    agent.invoke("I like gin", {"configurable": {"thread_id": "2"}})
    with pytest.raises(InvalidOption, match="needs 'user_id'"):
        learner.invoke(NOW, {"configurable": {"thread_id": "2"}})


def test_a_model_that_decides_what_cannot_be_is_told_so(agent: Any, database: Database) -> None:
    tries = iter([("same", "K9"), ("retire", ""), ("add", "")])
    student = Student(decide=lambda fact, known: next(tries))
    database.store.put(BOB, "k", {"content": "tea"})
    agent.invoke("I like tea", ON_1)
    create_learner(agent, student, memory=MINE).invoke(NOW, ON_1)
    assert len(student.compared) == 3
    assert len(contents(database)) == 2


def test_a_model_that_never_decides_is_not_asked_for_ever_and_nothing_is_lost(agent: Any, database: Database) -> None:
    student = Student(decide=lambda fact, known: ("same", "K9"))
    database.store.put(BOB, "k", {"content": "tea"})
    agent.invoke("I like tea", ON_1)
    learner = create_learner(agent, student, memory=MINE)
    with pytest.raises(TooManyRounds, match="did not decide: F1: about is 'K9'"):
        learner.invoke(NOW, ON_1)
    assert len(student.compared) == 3
    student.decide = lambda fact, known: ("add", "")
    assert len(learner.invoke(NOW, ON_1).changes) == 1


def test_answers_that_do_not_fit_are_asked_for_again(agent: Any) -> None:
    wrong = iter([answer(facts=[{"content": "Bob"}]), answer(facts="none")])
    student = Student()
    agent.invoke("I like tea", ON_1)
    model = lambda messages, tools: next(wrong, None) or student(messages, tools)  # noqa: E731
    assert len(create_learner(agent, model, memory=MINE).invoke(NOW, ON_1).changes) == 1


def test_a_memory_that_somebody_changed_meanwhile_is_compared_again(agent: Any, database: Database) -> None:
    def decide(fact: str, known: dict[str, str]) -> tuple[str, str]:
        if "K1" in known and known["K1"] == "lives in Porto":
            database.store.put(BOB, "home", {"content": "lives in Faro"})  # while the model thinks
        return "replace", "K1"

    database.store.put(BOB, "home", {"content": "lives in Porto"})
    agent.invoke("lives in Lisbon", ON_1)
    learned = create_learner(agent, Student(decide=decide), memory=MINE).invoke(NOW, ON_1)
    [change] = learned.changes
    assert (change.before, change.before_version) == ({"content": "lives in Faro"}, 2)
    assert contents(database) == {"home": "said: lives in Lisbon"}


def test_long_talks_are_learned_in_parts_that_know_of_each_other(agent: Any, database: Database) -> None:
    texts = [f"{word} " * 700 for word in ("tea", "gin", "cup")]
    for text in texts:
        agent.invoke(text, ON_1)
    student = Student({texts[0]: ["likes tea"], texts[1]: ["likes gin"], texts[2]: ["fond of tea"]})
    student.decide = lambda fact, known: ("same", about(known, "tea")) if "fond" in fact else ("add", "")
    learned = create_learner(agent, student, memory=MINE).invoke(NOW, ON_1)
    assert len(student.extracted) > 1
    assert len(student.extracted) + len(student.compared) <= 2 * len(student.extracted)
    assert (len(learned.changes), learned.known) == (2, 1)
    assert sorted(contents(database).values()) == ["likes gin", "likes tea"]


def test_teams_and_workflows_of_ones_own_can_be_learned_from(database: Database) -> None:
    member = create_agent(lambda messages: {"role": "assistant", "content": "I see."}, name="a")
    team = create_team([member], database=database)
    team.invoke("I like tea", ON_1)
    assert len(create_learner(team, Student(), memory=MINE).invoke(NOW, ON_1).changes) == 1

    @entrypoint(database=database)
    def chat(text: str, *, previous: Any = None) -> Any:
        return entrypoint.final(value=None, save=[*(previous or []), {"role": "user", "content": text}])

    chat.invoke("I like gin", on("2"))
    learned = create_learner(chat, Student(), memory=MINE).invoke(NOW, on("2"))
    assert [change.source.message for change in learned.changes] == ["0"]  # its place, for it has no id


class OnEveryThread:
    """A conversation that is the same on every thread, for each crash is on a thread of its own."""

    def __init__(self, agent: Workflow[Any, Any]) -> None:
        self.agent = agent

    def __getattr__(self, name: str) -> Any:
        return getattr(self.agent, name)

    def get_state(self, config: Any) -> Any:
        return self.agent.get_state({"configurable": {**config["configurable"], "thread_id": "1"}})


def test_learning_survives_every_crash(agent: Any) -> None:
    for text in ("I like tea", "I like gin"):
        agent.invoke(text, ON_1)
    conversation: Any = OnEveryThread(agent)
    learner = create_learner(conversation, Student(), memory=MINE)
    report = crash_everywhere(learner, NOW, config=ON_1, same=lambda one, other: len(one.changes) == len(other.changes))
    assert len(report.value.changes) == 2
    assert len(report.crashes) > 10


def test_who_is_erased_leaves_nothing_of_what_was_learned(tmp_path: Path) -> None:
    with Database(tmp_path / "a.db") as database:
        agent = create_agent(lambda messages: {"role": "assistant", "content": "I see."}, database=database)
        agent.invoke("I like verjuice", ON_1)
        create_learner(agent, Student(), memory=MINE).invoke(NOW, {"configurable": {"thread_id": "1"}})
        erase(database, "bob")
        assert database.store.search(()) == []
    assert b"verjuice" not in (tmp_path / "a.db").read_bytes()


def test_what_cannot_work_is_refused_where_the_learner_is_made(agent: Any) -> None:
    with pytest.raises(InvalidOption, match="a tuple of labels"):
        create_learner(agent, Student(), memory="memories")
    homeless = create_agent(Student(), checkpointer=InMemorySaver())
    with pytest.raises(InvalidOption, match="has no store; give the learner a database"):
        create_learner(homeless, Student(), memory=MINE)


def test_nothing_said_is_nothing_learned(agent: Any) -> None:
    student = Student()
    learner = create_learner(agent, student, memory=MINE)
    assert learner.invoke(NOW, ON_1).messages == 0
    assert student.extracted == []


def test_what_an_agent_tells_its_model_in_the_users_place_is_not_learned(database: Database) -> None:
    @dataclass
    class Place:
        city: str

    model = Script("Let me think.", calls(answer={"city": "Oslo"}))
    agent = create_agent(model, output=Place, database=database)
    agent.invoke("I live in Oslo", ON_1)
    assert "Give your answer" in model.asked[1][-1]["content"]
    learned: Any = create_learner(agent, Student(), memory=("m", "{user_id}")).invoke(Learn(), ON_1)
    assert [change.after["content"] for change in learned.changes] == ["said: I live in Oslo"]
