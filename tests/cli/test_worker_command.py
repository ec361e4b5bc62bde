"""`clew worker`: which workflows and which database it works on, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clew import Limit, Worker
from clew.cli.app import app
from clew.cli.targets import find_workflows
from clew.cli.worker import _limits
from clew.errors import UsageError

PROGRAM = """
from clew import Database, entrypoint

@entrypoint(database=Database("own.db"))
def flow(x):
    return x

@entrypoint
def homeless(x):
    return x

every = {"flow": flow, "homeless": homeless}
number = 7
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What workers were made with; none of them runs."""
    seen: list[Any] = []

    def note(self: Worker, database: Any, workflows: Any, **options: Any) -> None:
        seen.append((database, [workflow.name for workflow in workflows], options))

    monkeypatch.setattr(Worker, "__init__", note)
    monkeypatch.setattr(Worker, "run", lambda self: None)
    return seen


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["worker", *arguments])


def test_it_works_on_the_workflows_own_database(made: list[Any]) -> None:
    assert run("program.py:every").exit_code == 0
    ((database, names, _),) = made
    assert names == ["flow", "homeless"]
    assert database.database.path.endswith("own.db")


def test_options_reach_the_worker(made: list[Any]) -> None:
    ended = run(
        "program.py:homeless", "--database", "app.db", "--concurrency", "3", "--poll", "2", "--max-crashes", "5",
        "--limit", "homeless=1", "--limit", "homeless=100/m",
    )  # fmt: skip
    assert ended.exit_code == 0
    limits = {"homeless": Limit(concurrency=1, rate=100, per_s=60.0)}
    ((database, names, options),) = made
    assert (database.url, names) == ("app.db", ["homeless"])
    assert options == {"concurrency": 3, "poll_s": 2.0, "max_crashes": 5, "limits": limits}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["program.py:nothing"], "no workflow 'nothing'"),
        (["program.py:number"], "neither a workflow nor a list"),
        (["program.py:homeless"], "name one by --database"),
        (["program.py:flow", "--database", "other.db"], "another database"),
        (["program.py:flow", "--database", ":memory:"], "name a file"),
        (["program.py:flow", "--limit", "flow"], "is not understood"),
        (["program.py:flow", "--limit", "other=1"], r"limits for ['other']"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments: list[str], why: str) -> None:
    ended = run(*arguments)
    assert ended.exit_code == 2
    assert why in ended.output


def test_a_list_of_workflows_is_found_by_its_name() -> None:
    assert [workflow.name for workflow in find_workflows("program.py:every")] == ["flow", "homeless"]
    with pytest.raises(UsageError, match="no file"):
        find_workflows("other.py:every")


def test_limits_are_read() -> None:
    assert _limits(["a=2", "b=10/s", "b=1"]) == {"a": Limit(concurrency=2), "b": Limit(concurrency=1, rate=10)}
