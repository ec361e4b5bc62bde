"""`clew threads`, `clew runs`, `clew show`: what is kept is seen by a process that has none of the code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from clew import Database, EncryptionKeys, entrypoint, task
from clew.cli.app import app

SHOP = """
import sys
from dataclasses import dataclass
from datetime import date
from clew import Database, RetryPolicy, entrypoint, interrupt, task

@dataclass
class Parcel:
    weight: int
    ready: date

@task
def weigh(item):
    return 2

@task
def pack(item) -> Parcel:
    return Parcel(weigh(item).result(), date(2026, 5, 1))

tries = []

@task(retry_policy=RetryPolicy(initial_interval=0.0, jitter=False, retry_on=ValueError))
def charge(amount):
    tries.append(amount)
    if len(tries) == 1:
        raise ValueError("no line")
    return "paid"

@task
def label(city):
    raise LookupError(f"no street\\nin {city}")

database = Database("sqlite:///shop.db")

@entrypoint(database=database)
def shop(order, *, previous=None):
    parcel = pack("tea").result()
    charge(order["amount"]).result()
    answer = interrupt("ship it?", timeout_s=3600, default=False) if order.get("asks") else None
    if order.get("city"):
        label(order["city"]).result()
    return [*(previous or []), {"parcel": parcel, "shipped": answer}]

if __name__ == "__main__":
    def on(thread): return {"configurable": {"thread_id": thread, "user_id": "ann"}}
    shop.invoke({"amount": 1}, on("done"))
    shop.invoke({"amount": 2}, on("done"))
    try:
        shop.invoke({"amount": 3, "city": "Oslo"}, on("failed"))
    except LookupError:
        pass
    shop.invoke({"amount": 5, "asks": True}, on("asks"))
    shop.submit({"amount": 1}, on("later"))
"""

Clew = Callable[..., Result]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that a shop in another process has left."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "shop.py").write_text(SHOP, encoding="utf-8")
    subprocess.run([sys.executable, "shop.py"], cwd=folder, check=True, timeout=60)
    return folder


@pytest.fixture
def clew(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clew:
    """Run the command where only the database is."""
    for file in made.glob("shop.db*"):
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def printed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


class TestThreads:
    def test_they_are_listed_with_what_waits(self, clew: Clew) -> None:
        rows = [line.split() for line in clew("threads", "shop.db").stdout.splitlines()]
        assert rows[0] == ["thread", "workflow", "status", "changed", "waits"]
        assert [(row[0], row[1], row[2], row[5:]) for row in rows[1:]] == [
            ("later", "shop", "queued", ["1", "call"]),
            ("asks", "shop", "interrupted", ["1", "question"]),
            ("failed", "shop", "failed", []),
            ("done", "shop", "done", []),
        ]

    def test_programs_get_the_questions(self, clew: Clew) -> None:
        later, asks, *_ = printed(clew("threads", "sqlite:///shop.db", "--json"))
        assert (later["status"], later["run_id"], later["queued"]) == ("queued", None, 1)
        [question] = asks["questions"]
        assert (question["value"], question["default"], len(question["id"])) == ("ship it?", False, 32)
        assert question["deadline_at"] > asks["changed_at"]

    def test_the_workflow_and_how_many_can_be_said(self, clew: Clew) -> None:
        assert printed(clew("threads", "shop.db", "--workflow", "other", "--json")) == []
        limited = clew("threads", "shop.db", "--limit", "2", "--json")
        assert [thread["thread_id"] for thread in printed(limited)] == ["later", "asks"]
        assert "--limit" in limited.stderr

    def test_a_run_whose_process_died_is_told_from_one_that_runs(self, tmp_path: Path) -> None:
        program = tmp_path / "dies.py"
        program.write_text(
            "import os\nfrom clew import Database, entrypoint\n"
            "@entrypoint(database=Database('dies.db'))\ndef dies(x): os._exit(1)\n"
            "dies.invoke(1, {'configurable': {'thread_id': '1'}})\n",
            encoding="utf-8",
        )
        subprocess.run([sys.executable, "dies.py"], cwd=tmp_path, check=False, timeout=60)

        @entrypoint(database=Database(tmp_path / "dies.db"))
        def looks(x: Any) -> list[str]:
            listed = CliRunner().invoke(app, ["threads", str(tmp_path / "dies.db"), "--json"])
            return [f"{thread['workflow']} {thread['status']}" for thread in printed(listed)]

        assert sorted(looks.invoke(1, {"configurable": {"thread_id": "2"}})) == ["dies crashed", "looks running"]


class TestRuns:
    def test_the_newest_comes_first(self, clew: Clew) -> None:
        second, first = printed(clew("runs", "shop.db", "done", "--json"))
        assert [run["input"] for run in (first, second)] == [{"amount": 1}, {"amount": 2}]
        assert second["parent"] == first["checkpoints"][0] == f"{first['id']}-1"
        assert first["metadata"] == {"user_id": "ann"}
        lines = clew("runs", "shop.db", "done", "--limit", "1").stdout.splitlines()
        assert lines[1].split()[:2] == [second["id"], "done"]

    def test_a_thread_that_is_not_there_is_named(self, clew: Clew) -> None:
        for command in ("runs", "show"):
            refused = clew(command, "shop.db", "none")
            assert (refused.exit_code, refused.stdout) == (2, "")
            assert "no thread 'none'" in refused.stderr
        assert "one of shop" in clew("runs", "shop.db", "done", "--workflow", "other").stderr

    def test_a_thread_of_several_workflows_needs_the_name_of_one(self, clew: Clew) -> None:
        with Database("sqlite:///shop.db") as database:
            other = entrypoint(name="other", database=database)(lambda x: x)
            other.invoke(1, {"configurable": {"thread_id": "done"}})
        refused = clew("runs", "shop.db", "done")
        assert (refused.exit_code, "other, shop; name one" in refused.stderr) == (2, True)
        assert len(printed(clew("runs", "shop.db", "done", "--workflow", "other", "--json"))) == 1


class TestShow:
    def test_a_run_is_a_tree_of_its_calls(self, clew: Clew) -> None:
        head, *lines = clew("show", "shop.db", "asks").stdout.splitlines()
        assert "of thread asks of shop: interrupted" in head
        told = "\n".join(lines)
        assert '├── input {"amount": 5, "asks": true}' in told
        assert "├── pack#1('tea') = shop.Parcel(weight=2, ready=\"2026-05-01\")  [" in told
        assert "│   └── weigh#1('tea') = 2  [" in told
        assert '├── charge#1(5) = "paid"  [' in told
        assert '└── waits for an answer to "ship it?", question ' in told

    def test_attempts_errors_and_tracebacks_are_told(self, clew: Clew) -> None:
        told = clew("show", "shop.db", "failed").stdout
        assert "label#1('Oslo') raised LookupError: no street in Oslo, is tried again" in told
        tree = printed(clew("show", "shop.db", "failed", "--json"))
        label = tree["calls"][-1]
        assert (label["state"], label["attempts"], "shop.py" in label["traceback"]) == ("reopened", 1, True)
        assert "LookupError" in tree["run"]["error"]
        first = printed(clew("runs", "shop.db", "done", "--json"))[1]["id"]
        charge = printed(clew("show", "shop.db", "done", "--run", first, "--json"))["calls"][1]
        assert (charge["name"], charge["attempts"]) == ("charge", 2)
        assert "2 attempts" in clew("show", "shop.db", "done", "--run", first).stdout

    def test_values_are_whole_in_json_and_have_the_names_of_their_classes(self, clew: Clew) -> None:
        tree = printed(clew("show", "shop.db", "done", "--json"))
        parcel = {"$type": "shop.Parcel", "weight": 2, "ready": "2026-05-01"}
        assert tree["value"] == [{"parcel": parcel, "shipped": None}] * 2
        assert "shop" not in sys.modules

    def test_a_run_that_is_not_there_is_named(self, clew: Clew) -> None:
        assert "no run 'x'" in clew("show", "shop.db", "done", "--run", "x").stderr
        assert "no run yet" in clew("show", "shop.db", "later").stderr

    def test_text_that_was_kept_cannot_steer_the_terminal(self, clew: Clew) -> None:
        with Database("sqlite:///shop.db") as database:
            odd = entrypoint(name="odd", database=database)(lambda x: x)
            odd.invoke("\x1b]0;owned\x07", {"configurable": {"thread_id": "\x1b[31m"}})
        for command in (("threads", "shop.db"), ("show", "shop.db", "\x1b[31m")):
            assert not {"\x1b", "\x07"} & set(clew(*command).stdout)


@pytest.fixture
def secret(tmp_path: Path) -> tuple[str, str]:
    """An encrypted database with one run, and its key."""
    key, url = EncryptionKeys.new_key(), f"sqlite:///{tmp_path}/secret.db"

    @task
    def tell(what: str) -> str:
        return what.upper()

    with Database(url, encryption=EncryptionKeys([key])) as database:
        keep = entrypoint(name="keep", database=database)(lambda what: tell(what).result())
        keep.invoke("hush", {"configurable": {"thread_id": "1"}})
        database.store.put(("memories",), "k", {"text": "hush"})
    return url, key


class TestEncryption:
    def test_keys_of_the_environment_open_it(self, secret: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        url, key = secret
        monkeypatch.setenv("CLEW_ENCRYPTION_KEYS", f"{EncryptionKeys.new_key()}, {key}")
        shown = CliRunner().invoke(app, ["show", url, "1"])
        assert "tell#1('hush') = \"HUSH\"" in shown.stdout
        got = CliRunner().invoke(app, ["memory", "get", "memories", "k", "--db", url, "--json"])
        assert json.loads(got.stdout)["value"] == {"text": "hush"}

    def test_without_them_it_is_refused_and_the_variable_named(
        self, secret: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CLEW_ENCRYPTION_KEYS", raising=False)
        for command in ("runs", "show"):
            refused = CliRunner().invoke(app, [command, secret[0], "1"])
            assert (refused.exit_code, refused.stdout) == (1, "")
            assert "CLEW_ENCRYPTION_KEYS" in refused.stderr

    def test_what_is_no_key_is_not_printed(self, secret: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLEW_ENCRYPTION_KEYS", "almost-a-key")
        refused = CliRunner().invoke(app, ["threads", secret[0]])
        assert refused.exit_code == 2
        assert "CLEW_ENCRYPTION_KEYS" in refused.stderr
        assert "almost" not in refused.output


@pytest.mark.parametrize(
    "address", ["postgresql:/ann:hush@host/db", "mysql://ann:hu/sh@host/db", "host=h password=hush"]
)
def test_no_password_is_printed(address: str) -> None:
    refused = CliRunner().invoke(app, ["threads", address])
    assert refused.exit_code == 2
    assert "hush" not in refused.output
    assert "hu/sh" not in refused.output


def test_postgres_is_looked_at_in_the_same_way(postgres: str) -> None:
    with Database(postgres) as database:
        echo = entrypoint(name="echo", database=database)(lambda x: x)
        echo.invoke({"n": 1}, {"configurable": {"thread_id": "from-the-command-line"}})
        try:
            listed = printed(CliRunner().invoke(app, ["threads", postgres, "--workflow", "echo", "--json"]))
            assert [thread["thread_id"] for thread in listed] == ["from-the-command-line"]
            shown = CliRunner().invoke(app, ["show", postgres, "from-the-command-line"])
            assert 'value {"n": 1}' in shown.stdout
        finally:
            database.checkpointer.delete_thread("from-the-command-line")
