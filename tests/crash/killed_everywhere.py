"""A program that runs a workflow once for every place where its process can be killed, and tells what it found.

    python killed_everywhere.py WORKFLOW_COLOUR TASK_COLOUR DURABILITY FOLDER [ADDRESS]

Each run is a forked child that kills itself with SIGKILL before or after its n-th write to the database, a SQLite file
or the PostgreSQL database at an address; another child goes on where it died: at every second place by continuing the
thread, at the others by recovering whatever was left half-way. This process itself never opens a database with clew.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keeping import InPostgres, InSqlite, Kept

from clew import Checkpointer, Command, arecover, entrypoint, get_runtime, get_store, interrupt, recover, task
from clew.storage.base import Append, Begin

CONFIG = {"configurable": {"thread_id": "1"}}
INPUT, ANSWER = 10, "yes"


@dataclass(frozen=True)
class Place:
    """Where a child is killed: around its n-th write, from 1."""

    number: int
    moment: str  # "before" or "after"

    def arm(self, saver_class: type[Checkpointer], what: signal.Signals = signal.SIGKILL) -> None:
        """Kill this process at that place, or stop it once. Writes that are refused do not count."""
        execute, aexecute = saver_class.execute, saver_class.aexecute
        coming, armed = [1], [True]

        def strike(saver: Any, moment: str) -> None:
            if armed[0] and (coming[0], moment) == (self.number, self.moment):
                armed[0] = False
                # Who is frozen in the middle of a write keeps a SQLite file locked. So not while another OS thread
                # writes; and by a signal to this one, which goes no further, as it may before one to the process.
                with saver.database._group().alone() if what == signal.SIGSTOP else contextlib.nullcontext():
                    signal.pthread_kill(threading.get_ident(), what)

        def before(saver: Any, operation: Any) -> None:
            if isinstance(operation, Begin | Append):
                strike(saver, "before")

        def after(saver: Any, operation: Any) -> None:
            if isinstance(operation, Begin | Append):
                strike(saver, "after")
                coming[0] += 1

        def killing(saver: Any, operation: Any) -> Any:
            before(saver, operation)
            result = execute(saver, operation)
            after(saver, operation)
            return result

        async def akilling(saver: Any, operation: Any) -> Any:
            before(saver, operation)
            result = await aexecute(saver, operation)
            after(saver, operation)
            return result

        saver_class.execute, saver_class.aexecute = killing, akilling  # type: ignore[method-assign,assignment]


class Story:
    """One workflow with everything in it, on a database of its own, and what it did to the world outside."""

    def __init__(self, folder: Path, workflow: str, tasks: str, durability: Any, address: str | None) -> None:
        folder.mkdir(parents=True)
        self.kept: Kept = InSqlite(folder) if address is None else InPostgres(folder, address)
        self.done = folder / "done.txt"
        self.done.touch()
        self._workflow = workflow
        self._tasks = tasks
        self._durability = durability
        self.recovers = False  # whether a run that was left half-way is found by `recover`, which knows no thread

    def run(self) -> None:
        """Bring the workflow from wherever it is to its end."""
        with self.kept.open() as where:
            is_blocking = self._workflow == "blocking"
            flow = blocking(where, self.act) if is_blocking else waiting(where, self.act, self._tasks)
            saver, state = flow.checkpointer, flow.get_state(CONFIG)
            while not state.exists or state.next:
                input: Any = Command(resume=ANSWER) if state.interrupts else None if state.exists else INPUT
                if input is None and self.recovers:
                    recovered = recover(saver, [flow]) if is_blocking else asyncio.run(arecover(saver, [flow]))
                    assert len(recovered) == 1
                elif is_blocking:
                    flow.invoke(input, CONFIG, durability=self._durability)
                else:
                    asyncio.run(flow.ainvoke(input, CONFIG, durability=self._durability))
                state = flow.get_state(CONFIG)

    def act(self) -> None:
        """Do something to the world outside that cannot be undone: a line that names the call."""
        info = get_runtime().execution_info
        assert info is not None
        line = f"{info.checkpoint_ns}\n".encode()
        descriptor = os.open(self.done, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, line)
        os.close(descriptor)

    def acts(self) -> Counter[str]:
        return Counter(self.done.read_text(encoding="utf-8").split())

    def recorded(self) -> set[str]:
        """Return the keys of the records that are kept."""
        return {key for (key,) in self.kept.query("SELECT key FROM clew_records")}

    def found(self) -> dict[str, Any]:
        """Return what the database holds at the end."""
        return {
            "runs": self.kept.query("SELECT status, value FROM clew_runs ORDER BY id"),
            "memories": sorted(self.kept.memories()),
            "damage": self.kept.damage(),
            "keys": sorted(self.recorded()),
        }


def blocking(where: dict[str, Any], act: Callable[[], None]) -> Any:
    """Return the workflow with a blocking body and blocking tasks."""

    @task
    def step(x: int) -> int:
        act()
        return x + 1

    @task
    def deep(x: int) -> int:
        act()
        return step(x).result() + step(x + 1).result()

    @task
    def breaks(x: int) -> None:
        act()
        raise ValueError(f"cannot {x}")

    @task
    def remember(x: int, store: Any) -> int:
        act()
        store.put(("told",), "task", {"x": x})
        return x

    @entrypoint(**where)
    def inner(x: int) -> Any:
        return step(x).result()

    @entrypoint(**where)
    def flow(x: int) -> list[Any]:
        first = step(x).result()
        fan: list[Any] = [future.result() for future in [step(n) for n in range(3)]]
        try:
            breaks(x).result()
        except ValueError as error:
            fan.append(str(error))
        below = [deep(x).result(), inner.invoke(x)]
        get_store().put(("told",), "body", {"x": x})
        kept = remember(x).result()  # type: ignore[call-arg]  # the store is injected
        answer = interrupt("go on?")
        last, item = step(100).result(), get_store().get(("told",), "task")
        return [first, fan, below, kept, answer, last, item and item.value]

    return flow


def waiting(where: dict[str, Any], act: Callable[[], None], tasks: str) -> Any:
    """Return the same workflow with an async body, and tasks of either colour."""

    def painted(function: Callable[..., Any]) -> Any:
        async def later(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            return function(*args, **kwargs)

        return task(later if tasks == "async" else function, name=function.__name__)

    @painted
    def step(x: int) -> int:
        act()
        return x + 1

    @painted
    def breaks(x: int) -> None:
        act()
        raise ValueError(f"cannot {x}")

    @task
    async def deep(x: int) -> int:
        act()
        return int(await step(x)) + int(await step(x + 1))

    @task
    async def remember(x: int, store: Any) -> int:
        act()
        await store.aput(("told",), "task", {"x": x})
        return x

    @entrypoint(**where)
    async def inner(x: int) -> Any:
        return await step(x)

    @entrypoint(**where)
    async def flow(x: int) -> list[Any]:
        first = await step(x)
        fan: list[Any] = list(await asyncio.gather(*[step(n) for n in range(3)]))
        try:
            await breaks(x)
        except ValueError as error:
            fan.append(str(error))
        below = [await deep(x), await inner.ainvoke(x)]
        await get_store().aput(("told",), "body", {"x": x})
        kept = await remember(x)  # type: ignore[call-arg]  # the store is injected
        answer = interrupt("go on?")
        last, item = await step(100), await get_store().aget(("told",), "task")
        return [first, fan, below, kept, answer, last, item and item.value]

    return flow


def in_child(work: Callable[[], None]) -> int:
    """Do something in a forked process; return how that ended, as `os.waitstatus_to_exitcode` says it."""
    return os.waitstatus_to_exitcode(os.waitpid(forked(work), 0)[1])


def forked(work: Callable[[], None]) -> int:
    """Begin something in a forked process; return its number."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def killed_at(place: Place, story: Story) -> bool:
    """Run the story until it is killed at a place; say whether it got there."""

    def work() -> None:
        place.arm(story.kept.saver)
        story.run()

    code = in_child(work)
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"the child that was to die at {place} ended with {code}")
    return code != 0


def survived(story: Story, before: Counter[str], recorded: set[str]) -> dict[str, Any]:
    """Go on with a story in another process, and tell which acts were done too often or too seldom."""
    code = in_child(story.run)
    if code:
        raise SystemExit(f"the child that was to go on ended with {code}")
    after = story.acts()
    due = {key: before[key] + (key not in recorded) for key in after}
    wrong = {key: f"{count} times, not {due[key]}" for key, count in after.items() if count != due[key]}
    return {**story.found(), "wrong": wrong, "acts": sorted(after)}


def main(workflow: str, tasks: str, durability: str, folder: Path, address: str | None = None) -> None:
    how = (workflow, tasks, durability, address)
    undisturbed = Story(folder / "undisturbed", *how)
    expected = survived(undisturbed, Counter(), set())
    report: dict[str, Any] = {"expected": shown(expected), "places": {}}
    for number in itertools.count(1):
        reached = False
        for moment in ("before", "after"):
            story = Story(folder / f"{number}-{moment}", *how)
            if killed_at(Place(number, moment), story):
                reached, story.recovers = True, number % 2 == 0
                report["places"][f"{moment} {number}"] = shown(survived(story, story.acts(), story.recorded()))
        if not reached:
            break
    report["again and again"] = shown(again_and_again(Story(folder / "again", *how)))
    print(json.dumps(report))


def again_and_again(story: Story) -> dict[str, Any]:
    """Kill every process after its second write: each gets one step further than the one before it."""
    for _ in range(100):
        before, recorded = story.acts(), story.recorded()
        if not killed_at(Place(2, "after"), story):
            return survived(story, story.acts(), story.recorded())
        twice = [key for key in recorded if story.acts()[key] != before[key]]
        if twice:
            return {"wrong": twice}
    return {"wrong": "it never ended"}


def shown(found: dict[str, Any]) -> dict[str, str]:
    return {name: repr(value) for name, value in found.items()}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]), *sys.argv[5:])
