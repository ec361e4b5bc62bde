"""`clew resume` and `clew fork`: the command as a process of its own, with the code of a workflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clew import Database

PROGRAM = """
from pathlib import Path
from dataclasses import dataclass
import threading
from clew import Database, Worker, entrypoint, get_config, interrupt, task

@task
def charge(amount):
    Path("charged.txt").open("a").write(f"{amount} ")
    return amount

@task
def ask(question):
    return interrupt(question)

def order(given, *, previous=None):
    paid = charge(given["amount"]).result()
    if given.get("fails") and not Path("repaired").exists():
        raise RuntimeError("the till is stuck")
    asked = [interrupt("ship it?")] if given.get("asks") == 1 else []
    if given.get("asks") == 2:
        both = [ask("who?"), ask("where?")]
        asked = [future.result() for future in both]
    return [*(previous or []), paid, *asked]

shop = entrypoint(database=Database("sqlite:///shop.db"), name="shop")(order)
@entrypoint(database=Database("sqlite:///shop.db"))
def greet(question):
    return [interrupt(question), get_config()["configurable"]["user_id"]]

@dataclass
class Caller:
    name: str

@entrypoint(database=Database("sqlite:///shop.db"), context_schema=Caller)
def visit(question, *, runtime):
    config = get_config()
    return [interrupt(question), config["configurable"]["prefs"], config["tags"], runtime.context.name]

homeless = entrypoint(name="shop")(order)

if __name__ == "__main__":
    def on(thread): return {"configurable": {"thread_id": thread}}
    shop.invoke({"amount": 1}, on("done"))
    shop.invoke({"amount": 2}, on("done"))
    shop.invoke({"amount": 3, "asks": 1}, on("asks"))
    shop.invoke({"amount": 4, "asks": 2}, on("asks-twice"))
    greet.invoke("who?", {"configurable": {"thread_id": "greeted", "user_id": "ann"}})
    config = {"configurable": {"thread_id": "visited", "prefs": {"tea": [1, 2]}}, "tags": ["vip"]}
    handle = visit.submit("who?", config, context={"name": "ann"})
    worker = Worker(visit.checkpointer, [visit], poll_s=0.02)
    threading.Thread(target=worker.run).start()
    handle.result(30)
    worker.stop()
    try:
        shop.invoke({"amount": 5, "fails": True}, on("failed"))
    except RuntimeError:
        pass
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("program.py").write_text(PROGRAM, encoding="utf-8")
    subprocess.run([sys.executable, "program.py"], check=True, timeout=60)


def clew(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from clew.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def printed(*arguments: str) -> Any:
    done = clew(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_answer_lets_the_run_go_on_and_nothing_runs_twice() -> None:
    charged = Path("charged.txt").read_text()
    done = clew("resume", "shop.db", "program.py:shop", "asks", "--answer", '"yes"')
    assert done.returncode == 0, done.stderr
    assert "shop: done" in done.stdout
    assert 'value [3, "yes"]' in done.stdout
    assert Path("charged.txt").read_text() == charged


def test_several_questions_are_answered_by_their_ids() -> None:
    waiting = printed("show", "shop.db", "asks-twice")["run"]["questions"]
    ids = {question["value"]: question["id"] for question in waiting}
    first = printed("resume", "shop.db", "program:shop", "asks-twice", "--answer-to", f'{ids["where?"]}="here"')
    assert [question["value"] for question in first["run"]["questions"]] == ["who?"]
    last = printed("resume", "shop.db", "program:shop", "asks-twice", "--answer-to", f'{ids["who?"]}="ann"')
    assert (last["run"]["status"], last["value"]) == ("done", [4, "ann", "here"])


def test_a_failed_run_is_continued_once_it_can_be() -> None:
    failed = clew("--verbose", "resume", "shop.db", "program.py:homeless", "failed")
    assert failed.returncode == 1
    assert "clew: the run failed: RuntimeError: the till is stuck" in failed.stderr
    assert "in order" in failed.stderr  # where, for --verbose
    Path("repaired").touch()
    tree = printed("resume", "shop.db", "program.py:homeless", "failed")
    assert (tree["run"]["status"], tree["run"]["attempts"], tree["value"]) == ("done", 3, [5])
    assert Path("charged.txt").read_text().count("5") == 1


def test_a_fork_starts_from_a_checkpoint_and_leaves_the_rest() -> None:
    second, first = printed("runs", "shop.db", "done")
    forked = printed(
        "fork", "shop.db", "program.py:shop", "done", "--checkpoint", first["checkpoints"][0], "--input",
        '{"amount": 7}',
    )  # fmt: skip
    assert forked["value"] == [1, 7]
    again = printed("fork", "shop.db", "program.py:shop", "done", "--checkpoint", second["checkpoints"][1])
    assert (again["value"], again["run"]["input"]) == ([1, 2], {"amount": 2})
    assert len(printed("runs", "shop.db", "done")) == 4
    assert printed("show", "shop.db", "done", "--run", second["id"])["value"] == [1, 2]


@pytest.mark.parametrize(("thread", "status"), [("failed", "failed"), ("asks", "interrupted")])
def test_a_fork_of_a_run_that_could_be_continued_does_it_once_more(thread: str, status: str) -> None:
    [before] = printed("runs", "shop.db", thread)
    charged = len(Path("charged.txt").read_text().split())
    clew("fork", "shop.db", "program.py:shop", thread, "--checkpoint", before["checkpoints"][0])
    anew, kept = printed("runs", "shop.db", thread)
    assert kept == before
    assert (anew["status"], anew["attempts"], anew["input"]) == (status, 1, before["input"])
    assert len(Path("charged.txt").read_text().split()) == charged + 1


def test_a_run_that_was_submitted_goes_on_with_all_that_it_was_submitted_with() -> None:
    done = printed("resume", "shop.db", "program.py:visit", "visited", "--answer", "1")
    assert done["value"] == [1, {"tea": [1, 2]}, ["vip"], "ann"]
    [run] = printed("runs", "shop.db", "visited")
    at = ("--checkpoint", run["checkpoints"][1])
    assert printed("fork", "shop.db", "program.py:visit", "visited", *at)["run"]["status"] == "interrupted"


def test_a_checkpoint_that_there_is_not_is_said_so() -> None:
    done = clew("fork", "shop.db", "program.py:shop", "done", "--checkpoint", "nowhere-0")
    assert done.returncode == 2
    assert (
        done.stderr
        == "clew: thread 'done' has no checkpoint 'nowhere-0'; `clew runs` and `clew show` list those it has\n"
    )
    assert clew("fork", "shop.db", "program.py:shop", "nobody", "--checkpoint", "nowhere-0").returncode == 2


def test_a_run_that_goes_on_and_a_fork_have_the_config_that_was_kept() -> None:
    assert printed("resume", "shop.db", "program.py:greet", "greeted", "--answer", "1")["value"] == [1, "ann"]
    [run] = printed("runs", "shop.db", "greeted")
    printed("fork", "shop.db", "program.py:greet", "greeted", "--checkpoint", run["checkpoints"][1])
    assert printed("resume", "shop.db", "program.py:greet", "greeted", "--answer", "2")["value"] == [2, "ann"]
    assert [one["metadata"] for one in printed("runs", "shop.db", "greeted")] == [{"user_id": "ann"}] * 2


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("resume", "shop.db", "program.py:shop", "asks", "--answer", "yes"), "a text as '\"yes\"'"),
        (("resume", "shop.db", "program.py:shop", "asks", "--answer", "1", "--answer-to", "a=1"), "not both"),
        (("resume", "shop.db", "program.py:shop", "asks", "--answer-to", "yes"), "write ID=JSON"),
        (("resume", "shop.db", "program.py:shop", "asks", "--answer-to", f"{'0' * 32}=1"), "waits; these do: "),
        (("resume", "shop.db", "program.py:shop", "asks", "--answer-to", "foo=1"), "no question 'foo' waits"),
        (("export", "shop.db", "--threads", "--memories"), "for both give neither"),
        (("resume", "shop.db", "program.py:shop", "done", "--answer", "1"), "nothing is waiting"),
        (("resume", "shop.db", "program.py:shop", "none"), "nothing on this thread to continue"),
        (("resume", "shop.db", "program.py:order", "asks"), "no workflow"),
        (("resume", "none.db", "program.py:shop", "asks"), "no database 'none.db'"),
        (("fork", "shop.db", "program.py:shop", "done", "--checkpoint", "x-1"), "no checkpoint 'x-1'"),
        (("fork", "shop.db", "program.py:shop", "done"), "--checkpoint"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(arguments: tuple[str, ...], why: str) -> None:
    refused = clew(*arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert why in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_workflow_of_another_database_is_refused() -> None:
    with Database("other.db") as other:
        other.store.put(("memories",), "k", {"text": "of another program"})
    refused = clew("resume", "other.db", "program.py:shop", "asks", "--answer", "1")
    assert (refused.returncode, "another database" in refused.stderr) == (2, True)


def test_a_log_line_has_fields_and_no_password() -> None:
    code = (
        "import logging; from clew.cli import logs; logs.set_up(True)\n"
        "logging.getLogger('clew').info('reached postgresql://ann:hush@host/db', extra={'thread_id': 'order-7'})"
    )
    logged = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "INFO" in logged.stderr
    assert "postgresql://ann:***@host/db thread_id=order-7" in logged.stderr


@pytest.mark.skipif(os.name != "posix", reason="completes for bash")
def test_a_shell_completes_commands_and_options() -> None:
    def completed(words: str) -> list[str]:
        env = {
            **os.environ, "_CLEW_COMPLETE": "complete_bash", "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }  # fmt: skip
        command = [sys.executable, "-c", "from clew.cli import main; main()"]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60).stdout.split()

    assert completed("clew thr") == ["threads"]
    assert completed("clew show --j") == ["--json"]
    assert completed("clew memory h") == ["history"]
