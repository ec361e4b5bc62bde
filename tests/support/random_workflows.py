"""Random workflows: plans of steps, and an interpreter that carries a plan out in every colour.

The same plan can be carried out undisturbed (nothing fails by chance, every question is answered at once) and disturbed
(flaky tasks fail a few times, questions stop the run). What comes out must be the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from clew import BaseStore, Checkpointer, Workflow, get_store, interrupt
from support.colours import Colour, result

EFFECTS = ("effects",)


@dataclass(frozen=True)
class Work:
    """A task that fails so many times before it succeeds, where failures are wanted."""

    fails: int = 0


@dataclass(frozen=True)
class Ask:
    """A question."""


@dataclass(frozen=True)
class Note:
    """A memory that counts how often it was written."""


@dataclass(frozen=True)
class Group:
    """Steps one after the other: in the body, in a task or in a nested workflow; several times; perhaps side by side.

    Args:
        steps: the steps.
        where: who carries them out.
        times: how often.
        fails: whether a task fails after them for good; the failure is handled around the group.
    """

    steps: tuple[Step, ...]
    where: str = "body"
    times: int = 1
    fails: bool = False


Step = Work | Ask | Note | Group
WHERE = ("body", "task", "workflow", "side by side")


def plans() -> st.SearchStrategy[Group]:
    """Return a strategy for plans."""
    leaves = st.one_of(st.builds(Work, st.sampled_from([0, 0, 0, 1, 2])), st.just(Ask()), st.just(Note()))
    return st.recursive(leaves, _groups, max_leaves=8).map(lambda step: Group((step, Work())))


def _groups(steps: st.SearchStrategy[Any]) -> st.SearchStrategy[Group]:
    return st.builds(
        Group,
        st.lists(steps, min_size=1, max_size=3).map(tuple),
        st.sampled_from(WHERE),
        st.sampled_from([1, 1, 2]),
        st.booleans(),
    )


class World:
    """One plan in one colour, with what its tasks did outside.

    Args:
        plan: what is done.
        colour: of the workflow and its tasks.
        disturbed: whether flaky tasks fail and questions stop the run.
        saver: where threads are kept, or None.
        store: where memories are kept.
    """

    def __init__(
        self, plan: Group, colour: Colour, *, disturbed: bool, saver: Checkpointer | None, store: BaseStore
    ) -> None:
        self.plan = plan
        self.disturbed = disturbed
        self.store = store
        self.effects: Counter[str] = Counter()
        self._tries: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._work = colour.task(self._do_work, name="work")
        self._fail = colour.task(self._do_fail, name="fail")
        self._branch = colour.task(self._do_branch, name="branch")
        self._nested: Workflow[Any, Any] = colour.entrypoint(name="nested")(self._do_branch_of)
        self.flow: Workflow[Any, Any] = colour.entrypoint(name="flow", checkpointer=saver, store=store)(self._do_all)

    def memories(self) -> dict[str, int]:
        """Return how often each memory was written."""
        return {item.key: item.value["count"] for item in self.store.search(EFFECTS, limit=10_000)}

    async def _do_all(self, input: str) -> Any:
        return await self._carry_out(self.plan, input)

    async def _do_work(self, path: str, fails: int) -> str:
        with self._lock:
            self._tries[path] += 1
            tried = self._tries[path]
        if self.disturbed and tried <= fails:
            raise ConnectionError(path)
        await note(path)
        self._took_effect(path)
        return f"result of {path}"

    async def _do_fail(self, path: str) -> str:
        raise ValueError(path)

    async def _do_branch(self, at: list[int], path: str) -> Any:
        got = await self._carry_out(self._step(at), path, at)
        await note(path)
        self._took_effect(path)
        return got

    async def _do_branch_of(self, input: tuple[list[int], str]) -> Any:
        return await self._carry_out(self._step(input[0]), input[1], input[0])

    def _took_effect(self, path: str) -> None:
        with self._lock:
            self.effects[path] += 1

    def _step(self, at: Sequence[int]) -> Step:
        step: Step = self.plan
        for place in at:
            assert isinstance(step, Group)
            step = step.steps[place]
        return step

    async def _carry_out(self, step: Step, path: str, at: Sequence[int] = ()) -> Any:
        """Carry out a step in the running body.

        Args:
            step: what is done.
            path: names this execution of it.
            at: where the step is in the plan.
        """
        match step:
            case Work(fails):
                return await result(self._work(path, fails))
            case Ask():
                return interrupt(path) if self.disturbed else answer_to(path)
            case Note():
                return await note(path)
            case Group(times=times, fails=fails):
                rounds = [await self._round(step, f"{path}[{turn}]", at) for turn in range(times)]
                if fails:
                    with contextlib.suppress(ValueError):
                        await result(self._fail(path))
                return rounds

    async def _round(self, group: Group, path: str, at: Sequence[int]) -> list[Any]:
        places = [(place, step, [*at, place], f"{path}.{place}") for place, step in enumerate(group.steps)]
        if group.where == "side by side":
            return await all_of([self._branch(below, name) for _, _, below, name in places])
        got = []
        for _, step, below, name in places:
            if group.where == "task":
                got.append(await result(self._branch(below, name)))
            elif group.where == "workflow":
                got.append(await call(self._nested, (below, name)))
            else:
                got.append(await self._carry_out(step, name, below))
        return got


def answer_to(question: str) -> dict[str, Any]:
    """Return the answer to a question."""
    return {"answer": ("to", question)}


async def note(path: str) -> None:
    """Count up a memory in the colour of the running body."""
    if _on_loop():
        item = await get_store().aget(EFFECTS, path)
        await get_store().aput(EFFECTS, path, {"count": 1 if item is None else item.value["count"] + 1})
    else:
        item = get_store().get(EFFECTS, path)
        get_store().put(EFFECTS, path, {"count": 1 if item is None else item.value["count"] + 1})


async def call(workflow: Workflow[Any, Any], input: Any) -> Any:
    """Call a workflow in the colour of the running body."""
    return await workflow.ainvoke(input) if _on_loop() else workflow.invoke(input)


async def all_of(futures: Sequence[Any]) -> list[Any]:
    """Wait for all, and only then raise what failed."""
    got, failed = [], []
    for future in futures:
        try:
            got.append(await result(future))
        except ConnectionError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return got


def questions_in(stopped: Any) -> Iterator[Any]:
    """Return the questions with which a run stopped."""
    if isinstance(stopped, dict) and "__interrupt__" in stopped:
        yield from stopped["__interrupt__"]


def _on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
