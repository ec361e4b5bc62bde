"""Learning waits for a pause in the talk, and no reply waits for learning."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clew import Database, Workflow, interrupt
from clew.agents import create_agent
from clew.engine.records import ThreadKey
from clew.learn import Learn, alearn_later, create_learner, learn_later
from clew.storage.queueing import ListQueue
from clew.testing import fake_clock
from support.learning import Student
from support.scripted import ON_1, Script, calls
from support.working import eventually, working

MINE = ("memories", "{user_id}")
AFTER_A_MINUTE = Learn(pause_s=60)


def waiting(learner: Workflow[Any, Any]) -> list[float]:
    """Return when the calls that wait are due, in seconds from now."""
    assert learner.checkpointer is not None
    places = learner.checkpointer.execute(ListQueue(ThreadKey("1", learner.name)))
    return [place.due_s - time.time() for place in places]


def test_a_worker_learns_after_the_pause(tmp_path: Path) -> None:
    student = Student()
    with Database(tmp_path / "a.db") as database:
        agent = create_agent(lambda messages: {"role": "assistant", "content": "I see."}, database=database)
        learner = create_learner(agent, student, memory=MINE)
        agent.invoke("I like tea", ON_1)
        handle = learn_later(learner, ON_1, pause_s=0.05)
        assert handle.status() == "queued"
        assert student.extracted == []
        with working(database, agent, learner):
            assert len(handle.result(timeout_s=30).changes) == 1


def test_a_newer_message_pushes_it_back(agent: Any, database: Database) -> None:
    student = Student()
    learner = create_learner(agent, student, memory=MINE)
    with fake_clock() as clock:
        agent.invoke("I like tea", ON_1)
        clock.advance(50)
        agent.invoke("I like gin", ON_1)
        clock.advance(10)
        assert learner.invoke(AFTER_A_MINUTE, ON_1).put_off  # what was left after the first message
        assert [round(due_s) for due_s in waiting(learner)] == [51]
        assert learner.invoke(AFTER_A_MINUTE, ON_1).put_off
        assert len(waiting(learner)) == 1
        assert student.extracted == []
        clock.advance(55)
        with working(database, learner):
            eventually(lambda: not waiting(learner))
            eventually(lambda: len(database.store.search(("memories", "bob"))) == 2)
    assert len(student.extracted) == 1


@pytest.mark.parametrize(("after_s", "put_off"), [(100, True), (4000, False)])
def test_it_comes_back_while_a_reply_is_being_made_unless_for_ever(
    database: Database, after_s: float, put_off: bool
) -> None:
    made: list[bool] = []

    def slow(messages: Any) -> Any:
        if len(messages) > 1:
            clock.advance(after_s)
            with ThreadPoolExecutor() as elsewhere:
                made.append(elsewhere.submit(learner.invoke, AFTER_A_MINUTE, ON_1).result().put_off)
        return {"role": "assistant", "content": "I see."}

    agent = create_agent(slow, database=database)
    learner = create_learner(agent, Student(), memory=MINE)
    with fake_clock() as clock:
        agent.invoke("I like tea", ON_1)
        agent.invoke("I like gin", ON_1)
        assert made == [put_off]
        assert [round(due_s) for due_s in waiting(learner)] == [60] * put_off


def test_a_talk_that_waits_for_a_person_is_quiet(database: Database) -> None:
    def ask() -> str:
        return str(interrupt("really?"))

    agent = create_agent(Script("I see.", calls(ask={})), [ask], database=database)
    learner = create_learner(agent, Student(), memory=MINE)
    with fake_clock() as clock:
        agent.invoke("I like tea", ON_1)
        agent.invoke("Ask", ON_1)
        clock.advance(61)
        assert [change.source.quote for change in learner.invoke(AFTER_A_MINUTE, ON_1).changes] == ["I like tea"]


def test_it_can_be_left_from_async_code(agent: Any) -> None:
    async def leave() -> str:
        await agent.ainvoke("I like tea", ON_1)
        handle = await alearn_later(learner, ON_1)
        return await handle.astatus()

    learner = create_learner(agent, Student(), memory=MINE)
    assert asyncio.run(leave()) == "queued"
    assert [round(due_s) for due_s in waiting(learner)] == [60]


def test_nothing_on_the_path_of_a_reply_knows_of_learning(agent: Any) -> None:
    def breaks(messages: Any) -> Any:
        raise ConnectionError

    learner = create_learner(agent, breaks, memory=MINE)
    assert agent.invoke("I like tea", ON_1).text == "I see."
    learn_later(learner, ON_1)
    assert agent.invoke("I like gin", ON_1).text == "I see."
