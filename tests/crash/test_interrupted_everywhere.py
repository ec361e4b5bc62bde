"""Ctrl-C comes wherever Python looks for it, and the program goes on with the same database."""

from __future__ import annotations

import contextlib
import dis
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import clew
from clew import Database, entrypoint, task
from clew.runner import taking
from support.colours import PATIENCE_S, thread

Kept = Callable[[], set[str]]

_PACKAGE = Path(clew.__file__).parent
#: After these the interpreter looks whether a signal has come.
_LOOKS = {"CALL", "CALL_FUNCTION_EX", "RESUME", "JUMP_BACKWARD", "CALL_KW"}


class Interrupt:
    """Raises KeyboardInterrupt in the code of a folder, at one of the steps at which a signal is heard.

    Args:
        at: which of them, from 0.
        room: the folder.
    """

    def __init__(self, at: int, room: str = "storage") -> None:
        self._left = at
        self._within = str(_PACKAGE / room)
        self._last: dict[FrameType, _Step] = {}
        self.has_come = False

    def __enter__(self) -> Interrupt:
        sys.settrace(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _called(self, frame: FrameType, event: str, _: Any) -> Any:
        if self.has_come or not frame.f_code.co_filename.startswith(self._within):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode" and not self.has_come:
            steps = _steps(frame.f_code)
            before, self._last[frame] = self._last.get(frame), steps[frame.f_lasti]
            # What is raised here counts as of the step after the one that looks: only where the same code handles both.
            if before is not None and before[0] in _LOOKS and before[1] == steps[frame.f_lasti][1]:
                self._left -= 1
                if self._left < 0:
                    self.has_come = True
                    raise KeyboardInterrupt
        return self._stepped


_Step = tuple[str, int | None]
_known: dict[CodeType, dict[int, _Step]] = {}


def _steps(code: CodeType) -> dict[int, _Step]:
    """Give the name of each step and where it goes on if it raises, by the step's place."""
    if code not in _known:
        listed = dis.Bytecode(code)
        handlers = [(entry.start, entry.end, entry.target) for entry in listed.exception_entries]
        _known[code] = {
            step.offset: (
                step.opname,
                next((target for start, end, target in handlers if start <= step.offset < end), None),
            )
            for step in listed
        }
    return _known[code]


def everywhere(do: Callable[[int], Any], then: Callable[[int, bool], None], room: str = "storage") -> int:
    """Do something again and again, interrupted one step later each time; give the number of steps."""
    for at in range(10_000):
        interrupt = Interrupt(at, room)
        with contextlib.suppress(KeyboardInterrupt), interrupt:
            do(at)
        then(at, not interrupt.has_come)
        if not interrupt.has_come:
            return at
    raise AssertionError("it has no end")


def in_time(do: Callable[[], Any]) -> Any:
    """Do something on another OS thread; it must not take for ever."""
    done: list[Any] = []
    other = threading.Thread(target=lambda: done.append(do()), daemon=True)
    other.start()
    other.join(PATIENCE_S)
    assert done, "somebody has a lock and does not give it back"
    return done[0]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(f"sqlite:///{tmp_path / 'kept.db'}") as database:
        database.store.put(("a",), "first", {"n": 0})
        yield database


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Gives the keys of the memories that another process sees, which can write as well."""

    def look() -> set[str]:
        with contextlib.closing(sqlite3.connect(tmp_path / "kept.db", timeout=0.1)) as apart:
            apart.execute("BEGIN IMMEDIATE")
            return {key for (key,) in apart.execute("SELECT key FROM clew_items")}

    return look


def test_a_put_is_kept_whole_or_not_at_all_and_the_next_one_is_kept(database: Database, kept: Kept) -> None:
    store = database.store

    def then(at: int, is_done: bool) -> None:
        seen = kept()
        assert f"key {at}" in seen or not is_done
        store.put(("a",), f"after {at}", {"n": at})
        in_time(lambda: store.put(("a",), f"elsewhere {at}", {"n": at}))
        assert kept() - seen == {f"after {at}", f"elsewhere {at}"}

    assert everywhere(lambda at: store.put(("a",), f"key {at}", {"n": at}), then) > 20


def test_a_read_sees_what_was_put_since(database: Database, kept: Kept) -> None:
    store = database.store

    def then(at: int, is_done: bool) -> None:
        kept()
        in_time(lambda: store.put(("a",), "first", {"n": at + 1}))
        found = store.search(("a",))
        assert [item.value["n"] for item in found] == [at + 1]
        assert store.get(("a",), "first") == found[0] or found[0].version == at + 2

    assert everywhere(lambda at: store.search(("a",)), then) > 20


@pytest.mark.filterwarnings("ignore:.*coroutine")  # one that was made and, because of Ctrl-C, not begun
@pytest.mark.parametrize("room", ["storage", "runner"])
def test_a_task_is_recorded_or_runs_again(
    database: Database, kept: Kept, monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    monkeypatch.setattr(taking, "LEASE_S", 0.3)  # whoever is interrupted as it takes one cannot give it back
    ran: list[int] = []

    @task
    def note(number: int) -> int:
        ran.append(number)
        return number

    @entrypoint(database=database)
    def flow(start: int) -> int:
        return sum(note(number).result() for number in range(3))

    def then(at: int, is_done: bool) -> None:
        kept()
        if not is_done:
            begun = flow.get_state(thread(str(at))).created_at is not None
            assert in_time(lambda: flow.invoke(None if begun else 0, thread(str(at)))) == 3
        assert sorted(set(ran)) == [0, 1, 2]
        assert len(ran) <= 4
        ran.clear()

    assert everywhere(lambda at: flow.invoke(0, thread(str(at))), then, room) > 100


def test_no_os_thread_of_many_waits_for_ever(database: Database, kept: Kept) -> None:
    store = database.store
    go_on = threading.Event()

    def put_on(name: str) -> None:
        for number in range(10_000):
            if go_on.is_set():
                return
            with contextlib.suppress(KeyboardInterrupt):  # of the one that committed it
                store.put((name,), "same", {"n": number})

    others = [threading.Thread(target=put_on, args=(f"other {n}",), daemon=True) for n in range(2)]
    for other in others:
        other.start()
    try:
        for at in range(0, 400, 3):
            with contextlib.suppress(KeyboardInterrupt), Interrupt(at % 200):
                store.put(("a",), f"key {at}", {"n": at})
            store.put(("a",), f"after {at}", {"n": at})
    finally:
        go_on.set()
    for other in others:
        other.join(PATIENCE_S)
        assert not other.is_alive()
    assert {f"after {at}" for at in range(0, 400, 3)} <= kept()
