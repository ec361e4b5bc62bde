"""`clew learn`: what would be learned as a table, learning it, where it came from, and taking it back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clew import Database
from clew.agents import create_agent
from clew.cli.app import app
from support.scripted import ON_1

PROGRAM = """
from clew import Database
from clew.agents import create_agent
from clew.learn import create_learner
from support.learning import Student

database = Database("app.db")
agent = create_agent(lambda messages: {"role": "assistant", "content": "I see."}, database=database)
facts = {"I live in Porto": ["Bob lives in Porto.", {"content": "Bob is rich.", "quote": "gold"}]}
learner = create_learner(agent, Student(facts), memory=("memories", "{user_id}"))
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with Database("app.db") as database:
        create_agent(lambda messages: {"role": "assistant", "content": "I see."}, database=database).invoke(
            "I live in Porto", ON_1
        )


def run(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code, done.output
    return done


def test_what_would_be_learned_is_a_table_and_nothing_changes() -> None:
    shown = run("learn", "program.py:learner", "1", "--dry-run")
    header, row = shown.stdout.splitlines()
    assert header.split() == ["change", "memory", "before", "after", "message", "because", "of"]
    assert row.startswith("add ")
    assert "Bob lives in Porto." in row
    assert row.endswith("I live in Porto")
    assert "refused, for message 1 does not say so: Bob is rich." in shown.stderr
    assert "2 new messages, 1 change, 0 facts known, 1 refused" in shown.stderr
    assert "Nothing was changed." in shown.stderr
    assert run("memory", "ls", "--db", "app.db", "--json").stdout == "[]\n"


def test_what_was_learned_has_a_history_and_can_be_taken_back() -> None:
    learned = json.loads(run("learn", "program.py:learner", "1", "--json").stdout)
    [change] = learned["changes"]
    assert (change["action"], change["before"], change["source"]["thread"]) == ("add", None, "1")
    [version] = json.loads(run("memory", "history", "memories/bob", change["key"], "--db", "app.db", "--json").stdout)
    assert version["written_by"] == {"run_id": learned["run"], "thread_id": "1"}
    assert version["value"]["message"] == change["source"]["message"]
    assert "I live in Porto" in run("memory", "history", "memories/bob", change["key"], "--db", "app.db").stdout

    undone = run("learn", "program.py:learner", "1", "--undo", learned["run"])
    assert "1 change taken back, 0 conflicts" in undone.stderr
    assert run("memory", "ls", "--db", "app.db", "--json").stdout == "[]\n"


def test_what_somebody_changed_since_is_shown_and_the_exit_code_tells() -> None:
    learned = json.loads(run("learn", "program.py:learner", "1", "--json").stdout)
    [change] = learned["changes"]
    run("memory", "put", "memories/bob", change["key"], '{"content": "Bob lives in Faro."}', "--db", "app.db")
    undone = run("learn", "program.py:learner", "1", "--undo", learned["run"], code=1)
    assert f"conflict: {change['key']} was changed since, and stays; it is Bob lives in Faro." in undone.stderr
    assert "Faro" in run("memory", "ls", "--db", "app.db").stdout


def test_what_makes_no_sense_is_refused() -> None:
    assert "no learner" in run("learn", "program.py:agent", "1", code=2).stderr
    assert "not both" in run("learn", "program.py:learner", "1", "--dry-run", "--undo", "x", code=2).stderr
    assert "no run 'x'" in run("learn", "program.py:learner", "1", "--undo", "x", code=2).stderr


def test_what_is_refused_leaves_no_run() -> None:
    assert "no thread 'nowhere' of" in run("learn", "program.py:learner", "nowhere", code=2).stderr
    run("learn", "program.py:learner", "1", "--undo", "zz", code=2)
    threads = json.loads(run("threads", "app.db", "--json").stdout)
    assert [(thread["thread_id"], thread["status"]) for thread in threads] == [("1", "done")]


def test_what_a_model_raises_is_one_line() -> None:
    failing = PROGRAM.replace("Student(facts)", "lambda *given: 1 / 0")
    Path("failing.py").write_text(failing, encoding="utf-8")
    shown = run("learn", "failing.py:learner", "1", code=1)
    assert (shown.stdout, shown.stderr) == ("", "clew: the learner failed: ZeroDivisionError: division by zero\n")
