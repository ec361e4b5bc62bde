"""Modules that are loaded when they are first used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clew.late import late


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Give globals in which the module `seldom` is a late import."""
    (tmp_path / "seldom.py").write_text("answer = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "seldom", raising=False)
    names: dict[str, Any] = {}
    late(names, "seldom")
    return names


def test_a_module_is_loaded_at_its_first_use_and_takes_its_place(names: dict[str, Any]) -> None:
    assert "seldom" not in sys.modules
    assert eval("seldom.answer", names) == 42
    assert names["seldom"] is sys.modules["seldom"]


def test_what_a_module_lacks_is_missed_as_usual(names: dict[str, Any]) -> None:
    with pytest.raises(AttributeError, match=r"module 'seldom' has no attribute 'question'"):
        eval("seldom.question", names)


def test_a_module_that_is_not_there_is_missed_at_each_use() -> None:
    names: dict[str, Any] = {}
    late(names, "clew.nowhere")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="nowhere"):
            eval("nowhere.answer", names)


def test_the_first_runs_of_a_program_may_be_at_once() -> None:
    program = """
import threading
from clew import entrypoint, task

@task
def double(number):
    return 2 * number

@entrypoint()
def flow(number):
    return double(number).result()

def run(number):
    barrier.wait()
    done[number] = flow.invoke(number) if number % 2 else double(number).result()

barrier, done = threading.Barrier(8), {}
threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert done == {number: 2 * number for number in range(8)}
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
