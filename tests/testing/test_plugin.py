"""The fixtures that pytest has of clew, in tests as somebody else would write them."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from support.pages import blocks
from support.provider import Provider, providing

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "test-your-workflow.md"
_OPTIONS = ["-p", "no:langsmith_plugin", "-W", "error"]
if not entry_points(group="pytest11", name="clew"):
    _OPTIONS += ["-p", "clew.testing.plugin"]
FLOW = """
import clew
from clew import entrypoint, interrupt, task

@task
def double(x):
    return 2 * x
"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Runs a test file of somebody else's."""

    def run_file(source: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_mine=source)
        return pytester.runpytest_subprocess(*_OPTIONS, *options)

    return run_file


@pytest.fixture(scope="session")
def clients() -> None:
    """Loads what takes long to load: before `pytester` comes, which forgets at its end what was loaded since."""
    for package in ("openai.resources.chat", "anthropic.resources.messages", "langchain_openai", "langchain_anthropic"):
        importlib.import_module(package)


@pytest.fixture
def run_here(clients: None, pytester: pytest.Pytester) -> Run:
    """Runs a test file of somebody else's, in this process, where clients of models are loaded already."""

    def run_file(source: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_mine=source)
        return pytester.runpytest_inprocess(*_OPTIONS, *options)

    return run_file


@pytest.fixture
def provider() -> Iterator[Provider]:
    with providing() as provider:
        yield provider


class TestDatabase:
    SOURCE = (
        FLOW
        + """
import pytest

@pytest.mark.parametrize("_", range(2))
def test_it_is_empty_each_time(clew_database, _):
    @entrypoint(database=clew_database)
    def flow(x):
        return double(x).result()

    config = {"configurable": {"thread_id": "1"}}
    assert not flow.get_state(config).exists
    assert flow.invoke(2, config) == 4
    clew_database.store.put(("a",), "k", {"v": 1})
    print("kept in", type(clew_database.checkpointer).__name__)
"""
    )

    @pytest.mark.parametrize(("where", "kind"), [(None, "InMemorySaver"), ("sqlite", "SqliteSaver")])
    def test_each_test_has_an_empty_one(self, where: str | None, kind: str, run: Run) -> None:
        result = run(self.SOURCE, "-s", *([f"--clew-database={where}"] if where else []))
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines([f"*kept in {kind}"])

    def test_each_test_has_a_schema_of_its_own_in_postgresql(self, run: Run, postgres: str) -> None:
        import psycopg

        result = run(self.SOURCE, "-s", f"--clew-database={postgres}")
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(["*kept in PostgresSaver"])
        with psycopg.connect(postgres) as connection:
            left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'clew_test_%'"
            assert connection.execute(left).fetchone() == (0,)

    def test_a_test_may_ask_for_several(self, run: Run) -> None:
        source = """
import pytest

@pytest.mark.parametrize("clew_database", ["memory", "sqlite"], indirect=True)
def test_both(clew_database):
    clew_database.store.put(("a",), "k", {"v": 1})
"""
        run(source).assert_outcomes(passed=2)

    def test_an_unknown_place_is_refused(self, run: Run) -> None:
        result = run("def test_it(clew_database): pass", "--clew-database=mysql")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*takes memory, sqlite or postgresql://..., not 'mysql'*"])


def test_a_test_moves_the_time_and_crashes_where_it_likes(run: Run) -> None:
    source = (
        FLOW
        + """
import pytest
from clew.testing import SimulatedCrash

CONFIG = {"configurable": {"thread_id": "1"}}

def flow_on(checkpointer):
    @entrypoint(checkpointer=checkpointer)
    def flow(x):
        return double(double(x).result()).result()
    return flow

def test_the_time(clew_clock):
    before = clew_clock.now
    entrypoint(lambda x: clew.sleep(3600)).invoke(1)
    assert (clew_clock.now - before).total_seconds() == 3600

@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash(clew_crash_at, clew_database, moment):
    with pytest.raises(SimulatedCrash):
        flow_on(clew_crash_at(2, moment)).invoke(1, CONFIG)
    assert flow_on(clew_database.checkpointer).invoke(None, CONFIG) == 4

def test_every_crash(clew_crash_everywhere):
    report = clew_crash_everywhere(flow_on(None), 1)
    assert report.value == 4
    assert len(report.crashes) == 8
"""
    )
    run(source).assert_outcomes(passed=4)


class TestModel:
    SOURCE = """
import pytest

CITY = "{city}"

def ask(kind, text):
    if kind == "openai":
        from openai import OpenAI
        with OpenAI(max_retries=2) as client:
            messages = [{{"role": "user", "content": text}}]
            return client.chat.completions.create(model="gpt", messages=messages).choices[0].message.content
    if kind == "openai stream":
        from openai import OpenAI
        with OpenAI(max_retries=2) as client:
            messages = [{{"role": "user", "content": text}}]
            chunks = client.chat.completions.create(model="gpt", messages=messages, stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    if kind == "anthropic":
        from anthropic import Anthropic
        with Anthropic(max_retries=2) as client:
            messages = [{{"role": "user", "content": text}}]
            with client.messages.stream(model="claude", max_tokens=9, messages=messages) as stream:
                return stream.get_final_text()
    if kind == "langchain openai":
        from langchain_openai import ChatOpenAI
        return ChatOpenAI(model="gpt", max_retries=2).invoke(text).text
    from langchain_anthropic import ChatAnthropic
    return ChatAnthropic(model="claude", max_retries=2).invoke(text).text

KINDS = ["openai", "openai stream", "anthropic", "langchain openai", "langchain anthropic"]

@pytest.mark.parametrize("kind", {kinds})
def test_ask(clew_model, kind):
    assert ask(kind, f"How is {{CITY}}?") == "It rains."
"""
    KINDS = ("openai", "openai stream", "anthropic", "langchain openai", "langchain anthropic")

    def source(self, city: str = "Bonn", kinds: tuple[str, ...] = KINDS) -> str:
        return self.SOURCE.format(city=city, kinds=list(kinds))

    def test_what_was_recorded_once_is_given_again_without_the_provider(
        self, run_here: Run, provider: Provider, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in provider.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-very-secret")
        provider.will(*["It rains."] * len(self.KINDS))
        run_here(self.source(), "--clew-record").assert_outcomes(passed=len(self.KINDS))
        assert provider.is_finished
        files = sorted((pytester.path / "recordings").iterdir())
        assert len(files) == len(self.KINDS)
        texts = "".join(file.read_text() for file in files)
        assert "It rains." in texts
        assert "secret" not in texts
        assert "authorization" not in texts.lower()

        for name in provider.environment():
            monkeypatch.delenv(name)
        run_here(self.source()).assert_outcomes(passed=len(self.KINDS))
        assert len(provider.requests) == len(self.KINDS)

    def test_a_request_that_is_not_recorded_fails_with_the_difference(
        self, run_here: Run, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in provider.environment().items():
            monkeypatch.setenv(name, value)
        provider.will("It rains.")
        run_here(self.source(kinds=("openai",)), "--clew-record").assert_outcomes(passed=1)
        result = run_here(self.source("Rome", kinds=("openai",)))
        result.assert_outcomes(failed=1, errors=1)  # the test, and the fixture, in case the test had hidden it
        result.stdout.fnmatch_lines(
            [
                "*this request is not recorded in*test_mine.test_ask_openai_.json*",
                '*-*"content": "How is Bonn?",*',
                '*+*"content": "How is Rome?",*',
                "*record anew: pytest --clew-record*",
            ]
        )

    def test_without_a_recording_it_says_how_to_make_one(self, run_here: Run) -> None:
        result = run_here(self.source(kinds=("anthropic",)))
        result.assert_outcomes(failed=1, errors=1)
        result.stdout.fnmatch_lines(["*nothing is recorded in*record it once: pytest --clew-record*"])

    def test_what_the_provider_refuses_is_not_recorded(
        self, run_here: Run, provider: Provider, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in provider.environment().items():
            monkeypatch.setenv(name, value)
        result = run_here(self.source(kinds=("openai",)), "--clew-record")  # the script is empty
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*no further answer*"])
        assert not (pytester.path / "recordings").exists()


class TestRecording:
    def test_answers_to_the_same_request_come_in_their_order(self, tmp_path: Path, provider: Provider) -> None:
        from openai import OpenAI

        from clew.testing import recorded_model

        def say(url: str) -> str:
            with OpenAI(api_key="none", base_url=url, max_retries=0) as client:
                messages = [{"role": "user", "content": "Hi"}]
                said = client.chat.completions.create(model="gpt", messages=messages)  # type: ignore[arg-type]
                return str(said.choices[0].message.content)

        provider.will("One.", "Two.")
        with recorded_model(tmp_path / "a.json", record=True) as model:
            url = model.through("here", f"{provider.address}/v1")
            assert [say(url), say(url)] == ["One.", "Two."]

        def replay() -> None:
            with recorded_model(tmp_path / "a.json") as model:
                url = model.through("here", "https://nowhere.invalid")
                assert [say(url), say(url)] == ["One.", "Two."]
                with pytest.raises(Exception, match="more often"):
                    say(url)

        with pytest.raises(AssertionError, match="more often than it is recorded"):
            replay()

    def test_keys_in_an_address_are_not_kept(self) -> None:
        from clew.testing.recording import Asked

        asked = Asked.of("gemini", "POST", "/v1/models?key=secret&alt=sse", b'{"a": 1}')
        assert asked == Asked(to="gemini", method="POST", path="/v1/models?alt=sse", body={"a": 1})

    def test_a_damaged_file_is_refused(self, tmp_path: Path) -> None:
        from clew.errors import InvalidOption
        from clew.testing.recording import Recording

        (tmp_path / "a.json").write_text(json.dumps([{"asked": 1}]))
        with pytest.raises(InvalidOption, match=r"a\.json is no recording"):
            Recording(tmp_path / "a.json")


def test_the_page_about_tests_shows_tests_that_pass(run: Run) -> None:
    (shown,) = [block.code for block in blocks(PAGE, "py") if "def test_" in block.code]
    run(shown).assert_outcomes(passed=5)


def test_the_plugin_loads_nothing_of_clew_before_a_fixture_is_used() -> None:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; import pytest, clew.testing.plugin\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('clew', 'msgspec', 'numpy')])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "['clew', 'clew.testing', 'clew.testing.plugin']"
