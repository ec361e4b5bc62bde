"""Processes on one file wait for each other, refuse each other, and stop each other."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clew import (
    SqliteSaver,
    entrypoint,
)
from clew.storage.queueing import ListQueue
from support.busy import THREAD, TwoTasks, in_queue, runs_of, until_asked
from support.colours import Colour, Gate, thread
from support.processes import start

OTHER = """
saver = SqliteSaver({file!r})

@task
def first(x):
    say(f"first {{x}}")
    hear()
    return x

@task
def second(x):
    say(f"second {{x}}")
    return x

@entrypoint(checkpointer=saver, on_conflict={how!r})
def flow(x, previous=None):
    first(x).result()
    second(x).result()
    return [x, previous]

try:
    say(str(flow.invoke({x}, THREAD)))
except RunStopped as stopped:
    say(f"stopped {{stopped.why}}")
except ThreadBusy as busy:
    say("busy")
"""


@pytest.mark.parametrize(
    ("how", "told", "kept"),
    [
        ("interrupt", "stopped interrupt", [(0, "interrupted"), (1, "done")]),
        ("rollback", "stopped rollback", [(1, "done")]),
    ],
)
def test_the_run_of_another_process_is_stopped(tmp_path: Path, how: str, told: str, kept: Any) -> None:
    file = str(tmp_path / "a.db")
    with start(OTHER.format(file=file, how="queue", x=0)) as first, closing(SqliteSaver(file)) as saver:
        first.hears("first 0")
        with start(OTHER.format(file=file, how=how, x=1)) as second:
            in_queue(saver, 1)
            until_asked(saver, how)
            first.say("go on")
            first.hears(told)
            second.hears("first 1")
            second.say("go on")
            second.hears("second 1")
            second.hears("[1, None]")
            second.ends_well()
        first.ends_well()
        assert runs_of(saver) == kept


def test_the_thread_of_another_process_is_refused(tmp_path: Path) -> None:
    file = str(tmp_path / "a.db")
    with start(OTHER.format(file=file, how="queue", x=0)) as first:
        first.hears("first 0")
        with start(OTHER.format(file=file, how="reject", x=1)) as second:
            second.hears("busy")
            second.ends_well()
        first.say("go on")
        first.hears("second 0")
        first.hears("[0, None]")
        first.ends_well()


def test_a_run_that_makes_no_calls_for_long_hears_of_it_meanwhile(tmp_path: Path) -> None:
    file = str(tmp_path / "a.db")
    program = f"""
saver = SqliteSaver({file!r})

@entrypoint(checkpointer=saver)
def flow(x):
    say("begun")
    sleep(3600)

try:
    flow.invoke(0, THREAD)
except RunStopped:
    say("stopped")
"""
    with start(program) as first, closing(SqliteSaver(file)) as saver:
        first.hears("begun")
        flow: Any = entrypoint(checkpointer=saver, on_conflict="interrupt", name="flow")(lambda x: x)
        assert flow.invoke(1, thread()) == 1
        first.hears("stopped")
        first.ends_well()


def test_processes_and_os_threads_are_served_in_the_order_of_arrival(tmp_path: Path, aside: ThreadPoolExecutor) -> None:
    file = str(tmp_path / "a.db")
    waits = """
@entrypoint(checkpointer=SqliteSaver({file!r}), name="flow")
def flow(x, previous=None):
    return [*(previous or []), x]

say(str(flow.invoke({x}, THREAD)))
"""
    with closing(SqliteSaver(file)) as saver:
        begun, gate = Gate(), Gate()

        @entrypoint(checkpointer=saver)
        def flow(x: int, previous: Any = None) -> Any:
            if x == 0:
                begun.open()
                gate.wait()
            return [*(previous or []), x]

        first = aside.submit(flow.invoke, 0, thread())
        begun.wait()
        with start(waits.format(file=file, x=1)) as one:
            in_queue(saver, 1)
            here = aside.submit(flow.invoke, 2, thread())
            in_queue(saver, 2)
            with start(waits.format(file=file, x=3)) as three:
                in_queue(saver, 3)
                last = aside.submit(flow.invoke, 4, thread())
                in_queue(saver, 4)
                gate.open()
                assert first.result() == [0]
                one.hears("[0, 1]")
                assert here.result() == [0, 1, 2]
                three.hears("[0, 1, 2, 3]")
                assert last.result() == [0, 1, 2, 3, 4]
                one.ends_well()
                three.ends_well()
        assert list(saver.execute(ListQueue(THREAD))) == []


def test_a_process_that_dies_while_it_waits_holds_nobody_up(tmp_path: Path, aside: ThreadPoolExecutor) -> None:
    file = str(tmp_path / "a.db")
    with closing(SqliteSaver(file)) as saver:
        two = TwoTasks(Colour(False, False), saver)
        first = aside.submit(two.flow.invoke, 0, thread())
        two.begun.wait()
        with start(OTHER.format(file=file, how="queue", x=1)) as second:
            in_queue(saver, 1)
            later = aside.submit(two.flow.invoke, 2, thread())
            in_queue(saver, 2)
            second.send(signal.SIGKILL)
            second.was_killed()
            two.gate.open()
            assert first.result() == [0, None]
            assert later.result(10) == [2, [0, None]]
        assert list(saver.execute(ListQueue(THREAD))) == []


def test_a_keyboard_interrupt_while_waiting_leaves_no_place(tmp_path: Path, aside: ThreadPoolExecutor) -> None:
    file = str(tmp_path / "a.db")
    with closing(SqliteSaver(file)) as saver:
        two = TwoTasks(Colour(False, False), saver)
        first = aside.submit(two.flow.invoke, 0, thread())
        two.begun.wait()
        program = OTHER.format(file=file, how="queue", x=1) + "\nexcept KeyboardInterrupt:\n    say('stopped')"
        with start(program) as second:
            in_queue(saver, 1)
            second.send(signal.SIGINT)
            second.hears("stopped")
            in_queue(saver, 0)
            second.ends_well()
        two.gate.open()
        first.result()
