"""A run that was stopped, failed or killed anywhere, and continued, comes to what the undisturbed run comes to."""

from __future__ import annotations

import contextlib
import random
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew import Command, InMemorySaver, InMemoryStore, SqliteSaver, SqliteStore
from clew.storage.base import Append, Begin, Operation
from clew.storage.sqlite.database import SqliteDatabase
from support.colours import COLOURS, Colour, thread
from support.random_workflows import Group, World, answer_to, plans, questions_in

MOST_TURNS = 200
DURABILITIES = ("sync", "async", "exit")

every_colour = pytest.mark.parametrize("colour", COLOURS, ids=str)
patient = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}


def undisturbed(plan: Group, colour: Colour) -> tuple[Any, World]:
    """Carry out a plan in one go."""
    world = World(plan, colour, disturbed=False, saver=None, store=InMemoryStore())
    return colour.invoke(world.flow, "path"), world


def continued(world: World, colour: Colour, seed: int) -> Any:
    """Carry out a plan by as many calls as it takes, answering questions in a random manner."""
    chance = random.Random(seed)
    input: Any = None if world.flow.get_state(thread()).exists else "path"
    for _ in range(MOST_TURNS):
        durability = chance.choice(DURABILITIES)
        try:
            got = colour.invoke(world.flow, input, thread(), durability=durability)
        except ConnectionError:
            input = None
            continue
        asked = list(questions_in(got))
        if not asked:
            return got
        input = some_answers(asked, chance)
    raise AssertionError(f"the run did not end after {MOST_TURNS} turns")


def some_answers(asked: list[Any], chance: random.Random) -> Any:
    """Answer some of the questions, all, or none."""
    if chance.random() < 0.2:
        return None
    some = chance.sample(asked, chance.randint(1, len(asked)))
    if len(asked) == 1 and chance.random() < 0.5:
        return Command(resume=answer_to(asked[0].value))
    return Command(resume={question.id: answer_to(question.value) for question in some})


@every_colour
@settings(max_examples=40, **patient)
@given(plan=plans(), seed=st.integers(0, 2**32))
def test_failures_and_questions_change_nothing(colour: Colour, plan: Group, seed: int) -> None:
    expected, calm = undisturbed(plan, colour)
    saver = InMemorySaver()
    world = World(plan, colour, disturbed=True, saver=saver, store=InMemoryStore(database=saver.database))
    assert continued(world, colour, seed) == expected
    assert world.effects == calm.effects
    assert world.memories() == calm.memories()
    assert world.flow.get_state(thread()).values == expected


@every_colour
@settings(max_examples=10, **patient)
@given(plan=plans(), seed=st.integers(0, 2**32))
def test_failures_and_questions_change_nothing_on_sqlite(colour: Colour, plan: Group, seed: int) -> None:
    expected, calm = undisturbed(plan, colour)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(SqliteDatabase(Path(folder) / "all.db", synchronous="NORMAL")) as database,
    ):
        world = World(plan, colour, disturbed=True, saver=SqliteSaver(database), store=SqliteStore(database))
        assert continued(world, colour, seed) == expected
        assert world.effects == calm.effects
        assert world.memories() == calm.memories()


class Killed(BaseException):
    """The process ended."""


class Mortal(InMemorySaver):
    """A saver whose process is killed before or after the n-th thing it was to keep."""

    def __init__(self, deaths: list[tuple[int, bool]]) -> None:
        super().__init__()
        self._deaths = deaths
        self._kept = 0
        self.is_dead = False
        self._counting = threading.Lock()

    def execute(self, operation: Operation[Any]) -> Any:
        with self._counting:
            if self.is_dead:
                raise Killed
            if not isinstance(operation, Append | Begin):
                return super().execute(operation)
            self._kept += 1
            if self._deaths and self._kept >= self._deaths[0][0]:
                _, after = self._deaths.pop(0)
                self._kept = 0
                self.is_dead = True
                if after:
                    super().execute(operation)
                raise Killed
            return super().execute(operation)

    def revive(self) -> None:
        """Let another process find the thread, with the lease of the dead one run out."""
        self.is_dead = False
        for kept in self._journals.threads.values():
            kept.owner = None


@every_colour
@settings(max_examples=40, **patient)
@given(
    plan=plans(),
    seed=st.integers(0, 2**32),
    deaths=st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=6),
)
def test_a_run_killed_anywhere_is_continued_by_another_process(
    colour: Colour, plan: Group, seed: int, deaths: list[tuple[int, bool]]
) -> None:
    expected, calm = undisturbed(plan, colour)
    saver = Mortal(list(deaths))
    store = InMemoryStore(database=saver.database)
    for _ in range(len(deaths) + 1):
        world = World(plan, colour, disturbed=True, saver=saver, store=store)
        try:
            got = continued(world, colour, seed)
        except Killed:
            saver.revive()
        else:
            break
    assert got == expected
    assert world.memories() == calm.memories()
