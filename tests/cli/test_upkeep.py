"""`clew prune`, `clew erase`, `clew export` and `clew import`, from a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from clew import Database, Workflow, entrypoint
from clew.cli.app import app
from clew.cli.pruning import parse_duration
from clew.errors import UsageError

Clew = Callable[..., Result]


def chat_on(database: Database) -> Workflow[Any, Any]:
    @entrypoint(database=database)
    def chat(turn: str, *, previous: Any = None) -> Any:
        return [*(previous or []), turn]

    return chat


def config(thread_id: str, user: str) -> Any:
    return {"configurable": {"thread_id": thread_id, "user_id": user}}


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Two threads of three runs, and a memory of each user."""
    url = f"sqlite:///{tmp_path / 'app.db'}"
    with Database(url) as database:
        for thread_id, user in (("1", "ann"), ("2", "bob")):
            for turn in ("a", "b", "c"):
                chat_on(database).invoke(turn, config(thread_id, user))
            database.store.put(("memories", user), "k", {"data": f"secret of {user}"})
    return url


def clew(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=typed, env={"COLUMNS": "200"})


def printed(*arguments: str) -> Any:
    result = clew(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def runs(url: str) -> list[int]:
    with Database(url) as database:
        chat = chat_on(database)
        return [len(list(chat.get_state_history(config(thread_id, "")))) for thread_id in ("1", "2")]


class TestPrune:
    def test_it_says_what_went(self, url: str) -> None:
        counts = printed("prune", url, "--keep-last", "1")
        assert counts == {"dry_run": False, "threads": 2, "runs": 2, "trimmed": 2, "pieces": 0, "tombstones": 0}
        assert runs(url) == [3, 3]
        assert "Removed 0 runs of 0 threads" in clew("prune", url, "--keep-last", "1").stderr

    def test_a_dry_run_changes_nothing(self, url: str) -> None:
        assert printed("prune", url, "--keep-for", "0s", "--dry-run")["runs"] == 4
        assert (
            "Would remove 4 runs of 2 threads, and all but the end of 2"
            in clew("prune", url, "--keep-for", "0s", "--dry-run").stderr
        )
        assert runs(url) == [6, 6]

    def test_it_must_be_said_what_stays(self, url: str) -> None:
        refused = clew("prune", url)
        assert (refused.exit_code, runs(url)) == (2, [6, 6])
        assert "--keep-last 20, --keep-for 30d, or both" in refused.stderr

    def test_an_empty_name_is_not_the_default_database(self) -> None:
        refused = clew("prune", "", "--keep-last", "1")
        assert refused.exit_code == 2
        assert "the name of the database is empty" in refused.stderr

    def test_both_ways_and_one_thread(self, url: str) -> None:
        assert printed("prune", url, "--keep-last", "2", "--keep-for", "30d")["threads"] == 0
        assert printed("prune", url, "--keep-last", "1", "--thread", "2", "--compact")["threads"] == 1
        assert runs(url) == [6, 3]

    def test_refusals_say_what_to_do(self, url: str, tmp_path: Path) -> None:
        for arguments, message in (
            ((url,), "say what is to stay"),
            ((url, "--keep-for", "soon"), "write 45s, 90m, 12h, 30d or 4w"),
            ((str(tmp_path / "none.db"), "--keep-last", "1"), "there is no database"),
        ):
            refused = clew("prune", *arguments)
            assert refused.exit_code == 2
            assert message in refused.stderr
        assert not (tmp_path / "none.db").exists()

    def test_lengths_of_time(self) -> None:
        read = [parse_duration(text) for text in ("45s", "90m", "12h", "30d", "4w", "1.5d")]
        assert read == [
            timedelta(seconds=45), timedelta(minutes=90), timedelta(hours=12), timedelta(days=30), timedelta(weeks=4),
            timedelta(hours=36),
        ]  # fmt: skip
        for wrong in ("", "30", "d", "-1d", "1y", "999999999w"):
            with pytest.raises(UsageError):
                parse_duration(wrong)


class TestErase:
    def test_it_asks_first_and_shows_what_is_meant(self, url: str) -> None:
        asked = clew("erase", url, "ann", typed="n\n")
        assert asked.exit_code == 1
        assert "thread  1" in asked.stdout
        assert "namespace  memories/ann" in asked.stdout
        assert runs(url) == [6, 6]
        done = clew("erase", url, "ann", typed="y\n")
        assert done.exit_code == 0
        assert "Erased 1 threads with 3 runs" in done.stderr
        assert runs(url) == [0, 6]

    def test_a_script_gets_counts(self, url: str, tmp_path: Path) -> None:
        counts = printed("erase", url, "ann", "--dry-run")
        assert (counts["dry_run"], counts["threads"], counts["items"]) == (True, 1, 1)
        counts = printed("erase", url, "ann", "--yes")
        assert (counts["thread_ids"], counts["namespaces"]) == (["1"], [["memories", "ann"]])
        assert b"secret of ann" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())

    def test_a_program_that_is_asked_reads_only_json(self, url: str) -> None:
        done = clew("erase", url, "ann", "--json", typed="y\n")
        said, brace, rest = done.stdout.partition("{")
        assert said.strip() == "y"  # the runner's echo of what was typed
        assert json.loads(brace + rest)["threads"] == 1
        assert "namespace  memories/ann" in done.stderr

    def test_what_it_looks_at_can_be_said(self, url: str) -> None:
        counts = printed("erase", url, "ann", "--key", "tenant", "--namespace", "memories/bob", "--yes")
        assert (counts["threads"], counts["items"], counts["namespaces"]) == (0, 1, [["memories", "bob"]])


class TestMoving:
    def test_what_was_exported_can_be_imported(self, url: str, tmp_path: Path) -> None:
        exported = clew("export", url)
        assert exported.exit_code == 0
        file, target = tmp_path / "app.jsonl", str(tmp_path / "new.db")
        file.write_bytes(exported.stdout_bytes)
        assert printed("import", str(file), target) == {"threads": 2, "runs": 6, "memories": 2, "skipped": 0}
        assert runs(target) == [6, 6]
        assert clew("export", target).stdout_bytes == exported.stdout_bytes
        again = clew("import", str(file), target)
        assert again.exit_code == 1
        assert "already" in again.stderr
        assert printed("import", str(file), target, "--skip-existing")["skipped"] == 4

    def test_threads_or_memories_alone(self, url: str) -> None:
        kinds = [
            {json.loads(line)["kind"] for line in clew("export", url, option).stdout.splitlines()}
            for option in ("--threads", "--memories")
        ]
        assert "memory" not in kinds[0]
        assert kinds[1] == {"header", "memory", "end"}

    def test_it_reads_from_a_pipe(self, url: str, tmp_path: Path) -> None:
        lines = clew("export", url).stdout
        assert clew("import", "-", str(tmp_path / "new.db"), typed=lines).exit_code == 0
        assert runs(str(tmp_path / "new.db")) == [6, 6]

    def test_a_reader_that_has_seen_enough_ends_it_without_a_word(self, url: str) -> None:
        with Database(url) as database:
            for number in range(1000):
                database.store.put(("many",), str(number), {"text": "x" * 500})
        command = [sys.executable, "-c", "from clew.cli import main; main()", "export", url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as exporting:
            assert exporting.stdout is not None
            assert exporting.stderr is not None
            exporting.stdout.readline()
            exporting.stdout.close()
            assert exporting.stderr.read() == b""
            assert exporting.wait() == 1

    def test_refusals_say_what_to_do(self, url: str, tmp_path: Path) -> None:
        wrong = tmp_path / "wrong.jsonl"
        wrong.write_text("hello\n")
        for arguments, message in (
            (("import", str(wrong), url), "this is no export of clew"),
            (("import", str(tmp_path / "none"), url), "there is no file"),
            (("import", str(wrong), ":memory:"), "name a file"),
            (("export", str(tmp_path / "none.db")), "there is no database"),
        ):
            refused = clew(*arguments)
            assert refused.exit_code == 2
            assert message in refused.stderr
