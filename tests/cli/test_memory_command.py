"""`clew memory` and `clew reindex`: what people do with memories from a terminal, on a database of any kind of user."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from clew import Database, EncryptionKeys, entrypoint, get_store
from clew.cli.app import app
from clew.cli.namespaces import parse_namespace, show_namespace
from clew.errors import InvalidNamespaceError
from clew.integrations.local_embedder import LocalEmbedder

Clew = Callable[..., Result]
BOB, EVE = ("memories", "1"), ("memories", "2")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'app.db'}"


@pytest.fixture
def filled(url: str) -> str:
    """A database with three memories in two namespaces, without vectors."""
    with Database(url) as database:
        database.store.put(BOB, "tea", {"data": "Bob likes tea", "n": 1})
        database.store.put(BOB, "car", {"data": "Bob drives a red car", "n": 2})
        database.store.put(EVE, "sea", {"data": "Eve lives by the sea", "n": 3})
    return url


@pytest.fixture
def clew(url: str) -> Clew:
    """Run a command on the database, whether it is there or not."""

    def run(*arguments: str, typed: str | None = None) -> Result:
        return CliRunner().invoke(app, [*arguments, "--db", url], input=typed, env={"COLUMNS": "200"})

    return run


def printed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.usefixtures("filled")
class TestLooking:
    def test_ls_lists_the_newest_first(self, clew: Clew) -> None:
        assert [item["key"] for item in printed(clew("memory", "ls", "--json"))] == ["sea", "car", "tea"]
        lines = clew("memory", "ls", "memories/1").stdout.splitlines()
        assert lines[0].split() == ["namespace", "key", "updated", "value"]
        assert "memories/1" in lines[1]
        assert "red car" in lines[1]
        assert len(lines) == 3

    def test_ls_gives_pages_and_says_that_there_is_more(self, clew: Clew) -> None:
        first = clew("memory", "ls", "--limit", "2", "--json")
        assert "--offset 2" in first.stderr
        second = clew("memory", "ls", "--limit", "2", "--offset", "2", "--json")
        assert [item["key"] for item in printed(first) + printed(second)] == ["sea", "car", "tea"]
        assert "--offset" not in second.stderr

    def test_ls_takes_a_filter(self, clew: Clew) -> None:
        assert [item["key"] for item in printed(clew("memory", "ls", "--filter", '{"n": {"$gt": 2}}', "--json"))] == [
            "sea"
        ]

    def test_ls_lists_namespaces(self, clew: Clew) -> None:
        assert printed(clew("memory", "ls", "--namespaces", "--json")) == [list(BOB), list(EVE)]
        assert clew("memory", "ls", "memories", "--namespaces").stdout.split() == [
            "namespace",
            "memories/1",
            "memories/2",
        ]

    def test_search_shows_scores_and_reasons(self, clew: Clew) -> None:
        (found,) = printed(
            clew("memory", "search", "tea", "memories", "--mode", "keyword", "--embed", "none", "--json")
        )
        assert found["key"] == "tea"
        assert found["score"] > 0
        assert found["why"]["words"] > 0
        assert found["why"]["meaning"] is None
        shown = clew("memory", "search", "tea", "--embed", "none").stdout.splitlines()
        assert shown[0].split() == ["score", "namespace", "key", "updated", "value", "why"]
        assert "words 0." in shown[1]

    def test_search_takes_a_filter_a_limit_and_a_least_score(self, clew: Clew) -> None:
        ask = ("memory", "search", "Bob", "--embed", "none", "--json")
        assert [item["key"] for item in printed(clew(*ask, "--filter", '{"n": 2}', "--min-score", "0.01"))] == ["car"]
        assert len(printed(clew(*ask, "--limit", "1"))) == 1

    def test_history_shows_every_version_with_who_wrote_it(self, clew: Clew, url: str) -> None:
        with Database(url) as database:

            @entrypoint(database=database)
            def flow(text: str) -> None:
                get_store().put(BOB, "tea", {"data": text})

            flow.invoke("Bob likes coffee", {"configurable": {"thread_id": "t-1"}})
            run_id = flow.get_state({"configurable": {"thread_id": "t-1"}}).config["configurable"]["checkpoint_id"][:32]
            database.store.delete(BOB, "tea")
        newest, oldest = printed(clew("memory", "history", "memories/1", "tea", "--json"))
        assert (newest["value"]["data"], newest["version"], newest["ended"]) == ("Bob likes coffee", 2, "deleted")
        assert newest["written_by"] == oldest["ended_by"] == {"run_id": run_id, "thread_id": "t-1"}
        assert (oldest["ended"], oldest["written_by"], newest["ended_by"]) == ("replaced", None, None)
        lines = clew("memory", "history", "memories/1", "tea").stdout.splitlines()
        assert lines[0].split() == ["version", "written", "by", "ended", "by", "value"]
        assert f"thread t-1, run {run_id[:8]}" in lines[1]
        assert "deleted 20" in lines[1]
        assert "coffee" in lines[1]
        assert len(lines) == 3

    def test_a_memory_without_history_is_named(self, clew: Clew) -> None:
        result = clew("memory", "history", "memories/1", "none")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "no memory 'none' in 'memories/1'" in result.stderr

    def test_memory_is_shown_as_it_was(self, clew: Clew, url: str) -> None:
        before = printed(clew("memory", "get", "memories/1", "tea", "--json"))["updated_at"]
        with Database(url) as database:
            database.store.put(BOB, "tea", {"data": "Bob likes coffee"})
        as_of = ("--as-of", before, "--json")
        assert printed(clew("memory", "get", "memories/1", "tea", *as_of))["value"]["data"] == "Bob likes tea"
        assert [item["key"] for item in printed(clew("memory", "ls", *as_of))] == ["tea"]
        found = printed(clew("memory", "search", "likes", "--embed", "none", *as_of))
        assert [item["value"]["data"] for item in found] == ["Bob likes tea"]
        assert "there was no memory" in clew("memory", "get", "memories/2", "sea", *as_of).stderr
        assert "no checkpoint 'nowhere'" in clew("memory", "get", "memories/1", "tea", "--as-of", "nowhere").stderr
        assert "leave out --as-of" in clew("memory", "ls", "--namespaces", "--as-of", before).stderr

    def test_get_shows_one_memory_and_its_version(self, clew: Clew) -> None:
        item = printed(clew("memory", "get", "memories/1", "tea", "--json"))
        assert (item["namespace"], item["key"], item["version"]) == (list(BOB), "tea", 1)
        assert '"Bob likes tea"' in clew("memory", "get", "memories/1", "tea").stdout

    def test_looking_gives_a_memory_no_more_time(self, clew: Clew, url: str) -> None:
        put = clew("memory", "put", "short", "k", "{}", "--ttl", "5", "--json")
        assert put.exit_code == 0
        before = expiries(url)
        clew("memory", "get", "short", "k")
        clew("memory", "ls")
        clew("memory", "search", "k", "--embed", "none")
        assert expiries(url) == before

    def test_stats_count(self, clew: Clew) -> None:
        counts = printed(clew("memory", "stats", "--json"))
        assert (counts["items"], counts["namespaces"], counts["vectors"], counts["waiting"]) == (3, 2, {}, 0)
        assert "items  3" in clew("memory", "stats").stdout


def expiries(url: str) -> list[Any]:
    """When the items of a database end, as the file keeps it."""
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return connection.execute("SELECT id, expires_at FROM clew_items WHERE expires_at IS NOT NULL").fetchall()


class TestChanging:
    def test_put_makes_the_database_and_replaces_what_was_there(self, clew: Clew, url: str) -> None:
        first = clew("memory", "put", "memories/1", "tea", '{"data": "tea"}', "--embed", "none", "--json")
        assert printed(first)["version"] == 1
        again = clew("memory", "put", "memories/1", "tea", "-", "--embed", "none", "--json", typed='{"data": "green"}')
        assert printed(again)["version"] == 2
        with Database(url) as database:
            item = database.store.get(BOB, "tea")
        assert item is not None
        assert item.value == {"data": "green"}

    def test_put_with_a_version_refuses_to_replace_another(self, clew: Clew, filled: str) -> None:
        put = clew("memory", "put", "memories/1", "tea", "{}", "--if-version", "0", "--embed", "none")
        assert put.exit_code == 1
        assert printed(clew("memory", "get", "memories/1", "tea", "--json"))["value"]["n"] == 1

    def test_what_is_put_without_index_is_not_found(self, clew: Clew, filled: str) -> None:
        clew("memory", "put", "memories/1", "secret", '{"data": "tea"}', "--no-index")
        ask = ("memory", "search", "tea", "--mode", "keyword", "--embed", "none", "--json")
        assert [item["key"] for item in printed(clew(*ask))] == ["tea"]

    def test_rm_deletes_one(self, clew: Clew, filled: str) -> None:
        assert clew("memory", "rm", "memories/1", "tea").exit_code == 0
        assert [item["key"] for item in printed(clew("memory", "ls", "--json"))] == ["sea", "car"]

    def test_rm_of_all_asks_first(self, clew: Clew, filled: str) -> None:
        assert clew("memory", "rm", "memories/1", "--all", typed="n\n").exit_code == 1
        assert len(printed(clew("memory", "ls", "--json"))) == 3
        assert clew("memory", "rm", "memories/1", "--all", typed="y\n").exit_code == 0
        assert printed(clew("memory", "rm", "memories", "--all", "--yes", "--json")) == {"deleted": 1}
        assert printed(clew("memory", "ls", "--json")) == []


class TestRefusals:
    @pytest.mark.parametrize(
        "command",
        [
            ("memory", "ls"), ("memory", "search", "tea"), ("memory", "get", "a", "b"), ("memory", "rm", "a", "b"),
            ("memory", "stats"), ("reindex",),
        ],
        ids=" ".join,
    )  # fmt: skip
    def test_a_database_that_is_not_there_is_not_made(self, clew: Clew, url: str, command: tuple[str, ...]) -> None:
        result = clew(*command)
        assert result.exit_code == 2
        assert "there is no database" in result.stderr
        assert not Path(url.removeprefix("sqlite:///")).exists()

    def test_the_default_database_is_not_made_by_looking(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(app, ["memory", "ls"], env={"XDG_DATA_HOME": str(tmp_path / "data")})
        assert result.exit_code == 2
        assert not (tmp_path / "data").exists()

    @pytest.mark.parametrize("command", [("ls",), ("put", "a", "b", "{}")])
    def test_the_memory_of_this_process_is_no_database(self, command: tuple[str, ...]) -> None:
        result = CliRunner().invoke(app, ["memory", *command, "--db", ":memory:"])
        assert result.exit_code == 2
        assert "name a file" in result.stderr

    @pytest.mark.parametrize(
        ("command", "told"),
        [
            (("get", "memories/1", "none"), "no memory 'none'"),
            (("rm", "memories/1", "none"), "no memory 'none'"),
            (("rm", "memories/1"), "--all"),
            (("ls", "a//b"), "empty label"),
            (("ls", "a.b"), "period"),
            (("ls", "%FF"), "UTF-8"),
            (("ls", "--filter", "{n: 1}"), "--filter is no JSON"),
            (("ls", "--filter", '{"n": {"$near": 1}}'), "$near"),
            (("ls", "--namespaces", "--filter", "{}"), "leave out --filter"),
            (("ls", "--as-of", "0001-01-01T00:00:00+05:00"), "no time of the years 1 to 9999"),
            (("search", "x", "--mode", "semantic", "--embed", "none"), "needs an embedder"),
            (("search", "x", "--embed", "nobody"), "no embedder is called 'nobody'"),
            (("put", "a", "b", "tea"), "no JSON"),
            (("put", "a", "b", "[1]"), "JSON object"),
            (("put", "a", "b", "null"), "JSON object"),
            (("put", "a", "b", '{"n": NaN}', "--embed", "none"), "JSON cannot hold"),
            (("put", "a", "b", "{}", "--ttl", "-1", "--embed", "none"), "minutes"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_bad_input_is_told_and_nothing_changes(
        self, clew: Clew, filled: str, command: tuple[str, ...], told: str
    ) -> None:
        result = clew("memory", *command)
        assert result.exit_code == 2
        assert told in result.stderr
        assert len(printed(clew("memory", "ls", "--json"))) == 3


class TestEmbedders:
    def test_memories_are_searched_by_those_who_made_their_vectors(self, clew: Clew, url: str) -> None:
        with Database(url, embed="local") as database:
            database.store.put(BOB, "tea", {"data": "Bob likes tea"})
            database.store.put(BOB, "car", {"data": "Bob drives a red car"})
        best, _ = printed(clew("memory", "search", "which drink", "--mode", "semantic", "--json"))
        assert best["key"] == "tea"
        assert best["why"]["meaning"] > 0
        clew("memory", "put", "memories/1", "pet", '{"data": "a dog"}')
        assert printed(clew("memory", "stats", "--json"))["vectors"] == {"local": 3}

    def test_vectors_of_an_unknown_embedder_are_told_and_not_thrown_away(self, clew: Clew, url: str) -> None:
        with Database(url, embed=lengths) as database:
            database.store.put(BOB, "tea", {"data": "Bob likes tea"})
        found = clew("memory", "search", "tea", "--json")
        assert "lengths" in found.stderr
        assert [item["key"] for item in printed(found)] == ["tea"]
        refused = clew("reindex")
        assert refused.exit_code == 2
        assert "--embed" in refused.stderr
        assert printed(clew("memory", "stats", "--json"))["vectors"] == {"lengths": 1}

    def test_reindex_moves_to_another_embedder(self, clew: Clew, url: str) -> None:
        with Database(url, embed=lengths) as database:
            for n in range(3):
                database.store.put(BOB, str(n), {"data": f"Bob likes tea {n}"})
        done = printed(clew("reindex", "--embed", "local", "--json"))
        assert done == {"items": 3, "new_vectors": 3, "waiting": 0, "reasons": {}}
        assert printed(clew("memory", "stats", "--json"))["vectors"] == {"local": 3}
        assert printed(clew("reindex", "--json"))["new_vectors"] == 0
        assert "3 memories indexed, 0 with new vectors." in clew("reindex").stderr

    def test_reindex_says_by_its_exit_code_that_vectors_are_still_to_be_made(
        self, clew: Clew, filled: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(self: LocalEmbedder, texts: list[str]) -> list[list[float]]:
            raise OSError("no power")

        monkeypatch.setattr(LocalEmbedder, "embed_arrays", fail)
        result = clew("reindex", "--embed", "local", "--json")
        assert result.exit_code == 1
        counts = json.loads(result.stdout)
        assert counts["waiting"] == 3
        assert "no power" in " ".join(counts["reasons"])

    def test_an_embedder_that_cannot_be_made_is_told_and_nothing_changes(self, clew: Clew, filled: str) -> None:
        result = clew("reindex", "--embed", "openai:text-embedding-3-small")
        assert result.exit_code == 2
        assert "OPENAI_API_KEY" in result.stderr
        assert printed(clew("memory", "stats", "--json"))["waiting"] == 0


class TestOnlyWhatTheProgramIndexes:
    """Commands do not know how the program opens its database, so they index what it does, or refuse."""

    def test_where_nobody_made_vectors_no_command_does(self, clew: Clew, filled: str) -> None:
        clew("memory", "put", "memories/1", "pet", '{"data": "a dog"}')
        assert printed(clew("reindex", "--json")) == {"items": 4, "new_vectors": 0, "waiting": 0, "reasons": {}}
        stats = printed(clew("memory", "stats", "--json"))
        assert (stats["items"], stats["vectors"], stats["waiting"]) == (4, {}, 0)

    def test_what_is_encrypted_gets_no_vectors_unasked(self, clew: Clew, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLEW_ENCRYPTION_KEYS", EncryptionKeys.new_key())
        assert printed(clew("memory", "put", "u", "k", '{"text": "secret"}', "--json"))["version"] == 1
        assert printed(clew("memory", "stats", "--json"))["vectors"] == {}

    @pytest.mark.parametrize("embed", ["local", None])
    @pytest.mark.parametrize("encrypted", [False, True])
    def test_without_the_paths_of_the_program_nothing_is_indexed(
        self, clew: Clew, url: str, embed: str | None, encrypted: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = EncryptionKeys.new_key()
        if encrypted:
            monkeypatch.setenv("CLEW_ENCRYPTION_KEYS", key)

        def opened() -> Database:
            keys = EncryptionKeys([key]) if encrypted else None
            return Database(url, embed=embed, fields=["text"], encryption=keys)

        with opened() as database:
            database.store.put(BOB, "tea", {"text": "likes green tea", "note": "zebra elephants"})
            database.store.put(BOB, "chess", {"text": "plays chess", "note": "zebra"}, index=["text"])
            database.store.put(BOB, "none", {"text": "zebra"}, index=False)
        for command in (("reindex",), ("memory", "put", "memories/1", "new", '{"text": "swims", "note": "zebra"}')):
            refused = clew(*command)
            assert (refused.exit_code, refused.stdout) == (2, "")
            assert "--field" in refused.stderr
            assert clew(*command, "--field", "text").exit_code == 0
        with opened() as database:
            assert [item.key for item in database.store.search(BOB, query="zebra", mode="keyword")] == []
            found = database.store.search(BOB, query="likes green tea swims", mode="keyword")
            assert {item.key for item in found} == {"tea", "new"}
            assert database.store.get(BOB, "new") is not None

    def test_vectors_of_other_paths_are_not_replaced(self, clew: Clew, url: str) -> None:
        with Database(url, embed="local", fields=["a", "b"]) as database:
            database.store.put(BOB, "tea", {"a": "green tea", "b": "black tea"})
        assert clew("reindex").exit_code == 2
        assert printed(clew("reindex", "--field", "a", "--field", "b", "--json"))["new_vectors"] == 0


def lengths(texts: list[str]) -> list[list[float]]:
    return [[1.0, float(len(text))] for text in texts]


lengths.__qualname__ = "lengths"


class TestNamespaces:
    @given(st.lists(st.text(st.characters(exclude_characters=".", exclude_categories=["Cs"]), min_size=1)))
    def test_what_is_shown_is_read_again(self, labels: list[str]) -> None:
        shown = show_namespace(tuple(labels))
        assert parse_namespace(shown) == tuple(labels)
        assert all(character.isprintable() or ord(character) > 159 for character in shown)

    def test_escapes_and_borders(self) -> None:
        assert parse_namespace("a%2Fb/c%25") == ("a/b", "c%")
        assert parse_namespace("100%/é") == ("100%", "é")
        assert parse_namespace("") == ()
        with pytest.raises(InvalidNamespaceError):
            parse_namespace("/a")


def test_the_command_works_from_a_shell(filled: str, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "clew", *arguments, "--db", filled]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    found = run("memory", "search", "tea", "memories/1", "--mode", "keyword", "--json")
    assert found.returncode == 0, found.stderr
    assert [item["key"] for item in json.loads(found.stdout)] == ["tea"]
    missing = run("memory", "get", "memories/1", "none")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr == "clew: there is no memory 'none' in 'memories/1'\n"
