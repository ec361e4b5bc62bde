"""What tests of the examples start from: a model provider on this machine, a database, and the examples themselves."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clew import Database
from support.provider import providing
from support.provider_protocols import Answer, Use

EXAMPLES = Path(__file__).parents[2] / "examples"
ON_1: dict[str, Any] = {"configurable": {"thread_id": "1"}}


@pytest.fixture
def any_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both SDKs, as they are made without arguments, reach a model here that first uses the tool it is offered."""
    with providing() as provider:
        provider.will(*[_tool_then_text] * 100)
        for name, value in provider.environment().items():
            monkeypatch.setenv(name, value)
        yield


def _tool_then_text(request: dict[str, Any]) -> Answer | str:
    told = json.dumps((request.get("messages") or request["input"])[-1])
    if "rain in" in told:
        return "There is rain in Oslo."
    return Answer(uses=(Use(tool="weather", arguments={"city": "Oslo"}, id="use_1"),)) if "tools" in request else "Hi!"


@pytest.fixture
def open_database(tmp_path: Path) -> Iterator[Callable[..., Database]]:
    """Opens the test's database file, again each time, as a new process would."""
    opened: list[Database] = []

    def open_one(**options: Any) -> Database:
        opened.append(Database(f"sqlite:///{tmp_path}/kept.db", **options))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports an example by its name."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs an example as a program: its name and arguments, what is typed, and variables of its environment."""

    def run(
        name: str, *arguments: str, typed: str = "", environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        without_keys = {
            name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))
        }
        return subprocess.run(
            [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *arguments],
            input=typed, cwd=tmp_path, env=without_keys | (environment or {}), capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip

    return run
