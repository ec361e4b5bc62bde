"""The chat as a person uses it: typed lines in, replies out, on one database over many conversations."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from clew import cli
from clew.cli.app import app
from support.model_server import ModelServer

Say = Callable[..., Result]


@pytest.fixture
def say(tmp_path: Path) -> Say:
    """Run `clew chat` on lines that somebody typed; each call is a new conversation unless a thread is named."""

    def run(*lines: str, user: str = "1", thread: str | None = None, options: tuple[str, ...] = ()) -> Result:
        arguments = ["chat", "--db", f"sqlite:///{tmp_path / 'chat.db'}", "--user", user, *options]
        if thread:
            arguments += ["--thread", thread]
        return CliRunner().invoke(app, arguments, input="".join(f"{line}\n" for line in lines))

    return run


class TestOffline:
    def test_a_memory_is_found_in_another_conversation(self, say: Say) -> None:
        first = say("Hi! Remember: my name is Bob", thread="1")
        assert first.stdout == "Kept: my name is Bob\n"
        second = say("what is my name?", thread="2")
        assert "offline" in second.stdout
        assert "my name is Bob" in second.stdout
        assert second.exit_code == 0

    def test_another_user_is_not_told(self, say: Say) -> None:
        say("Remember: my name is Bob", user="1")
        assert "Bob" not in say("what is my name?", user="2").output

    def test_it_says_once_that_nobody_answers(self, say: Say) -> None:
        assert say("hello", "hello").stderr.count("no language model") == 1

    def test_without_the_local_extra_words_alone_find_memories(self, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "wordllama", None)
        first = say("Remember: my name is Bob", "Remember: I drink tea")
        assert first.stderr.count("pip install 'clew[local]'") == 1
        found = say("what is my name?").stdout
        assert "my name is Bob" in found


class TestCommands:
    def test_memories_can_be_listed_and_forgotten_by_the_start_of_their_key(self, say: Say) -> None:
        listed = say("Remember: I drink tea", "Remember: my name is Bob", "/memories").stdout
        key = re.findall(r"^(\S{36})  my name is Bob$", listed, re.M)[0]
        assert "Forgotten: my name is Bob" in say(f"/forget {key[:8]}").stderr
        assert re.findall(r"  (.+)$", say("/memories").stdout, re.M) == ["I drink tea"]

    def test_a_key_that_nothing_has_is_said_to_be_one(self, say: Say) -> None:
        result = say("/forget nothing")
        assert "no memory has a key that begins with 'nothing'" in result.stderr
        assert result.exit_code == 1

    def test_forget_without_a_key_forgets_nothing(self, say: Say) -> None:
        say("Remember: I drink tea")
        assert "needs a key" in say("/forget").stderr
        assert "I drink tea" in say("/memories").stdout

    def test_nothing_remembered_is_said(self, say: Say) -> None:
        assert "Nothing is remembered about 1" in say("/memories").stderr

    def test_threads_lists_ones_own_conversations(self, say: Say) -> None:
        say("hello there", "and again", thread="a")
        say("a secret", user="2", thread="b")
        listed = say("good morning", "/threads", thread="c").stdout.splitlines()[-2:]
        assert listed == ["c  2 messages, this one: good morning", "a  4 messages: hello there"]

    def test_new_begins_another_conversation_with_the_same_memories(self, say: Say) -> None:
        result = say("Remember: my name is Bob", "/new later", "what is my name?", "/threads", thread="1")
        assert "Thread later." in result.stderr
        assert "- my name is Bob" in result.stdout
        assert "later  2 messages, this one: what is my name?" in result.stdout

    def test_a_thread_is_continued_where_it_was_left(self, say: Say) -> None:
        say("hello", thread="1")
        assert "(2 messages)" in say(thread="1").stderr
        assert "4 messages, this one: hello" in say("again", "/threads", thread="1").stdout

    def test_the_thread_of_another_user_is_refused(self, say: Say) -> None:
        say("hello", user="1", thread="1")
        result = say("hello", user="2", thread="1")
        assert "belongs to user '1'" in result.stderr
        assert result.exit_code == 2
        assert "belongs to user '1'" in say("/new 1", user="2").stderr

    def test_help_lists_every_command(self, say: Say) -> None:
        listed = say("/help").stdout
        for command in ("/memories", "/forget KEY", "/threads", "/new", "/help", "/quit"):
            assert command in listed

    def test_an_unknown_command_points_to_help(self, say: Say) -> None:
        assert "no command /what; /help" in say("/what").stderr

    def test_quit_ends_at_once(self, say: Say) -> None:
        result = say("/quit", "hello")
        assert result.stdout == ""
        assert result.exit_code == 0

    def test_empty_lines_are_passed_over(self, say: Say) -> None:
        assert say("", "   ").stdout == ""


@pytest.mark.usefixtures("environment")
class TestWithAModel:
    def test_the_reply_and_the_conversation_go_to_the_provider(self, say: Say, model_server: ModelServer) -> None:
        first = say("Remember: my name is Bob", "how are you?", thread="1")
        assert first.stdout == "Hello, Bob.\nHello, Bob.\n"
        spoken = [m["content"] for m in model_server.requests[-1]["messages"] if m["role"] != "system"]
        assert spoken == ["Remember: my name is Bob", "Hello, Bob.", "how are you?"]

    def test_a_model_that_fails_loses_no_wish_and_can_be_asked_again(self, say: Say, model_server: ModelServer) -> None:
        model_server.status = 401
        failed = say("Remember: my name is Bob", thread="1")
        assert "The model did not answer" in failed.stderr
        assert "not known" in failed.stderr
        assert failed.exit_code == 1
        model_server.status = 200
        again = say("/retry", "/memories", thread="1").stdout
        assert again.startswith("Hello, Bob.\n")
        assert len(re.findall("my name is Bob", again)) == 1

    def test_what_a_model_says_cannot_steer_the_terminal(self, say: Say, model_server: ModelServer) -> None:
        model_server.pieces = ["\x1b]0;owned\x07", "[red]plain[/red]", "\nnext"]
        assert say("hi").stdout == "]0;owned[red]plain[/red]\nnext\n"


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("db", "expected", "exit_code"),
        [
            ("sqlite:///{tmp}/no/such/folder/chat.db", "does not exist", 1),
            ("sqlite:///{tmp}/text.db", "is not a SQLite database", 1),
            ("mongodb://host/chat", "mongodb", 2),
        ],
    )
    def test_a_bad_database_is_one_clear_line(self, db: str, expected: str, exit_code: int, tmp_path: Path) -> None:
        (tmp_path / "text.db").write_text("this is a text, and long enough to be taken for something else " * 20)
        result = CliRunner().invoke(app, ["chat", "--db", db.format(tmp=tmp_path)], input="hello\n")
        assert expected in result.stderr
        assert result.stderr.startswith("clew: ")
        assert result.exit_code == exit_code
        assert result.stdout == ""

    def test_an_empty_user_is_refused(self, say: Say) -> None:
        result = say("hello", user="")
        assert result.exit_code == 2
        assert "user" in result.stderr

    def test_without_the_extra_the_command_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in sys.modules if name.startswith("clew.cli.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "typer", None)
        with pytest.raises(SystemExit, match=r"pip install 'clew\[cli\]'"):
            cli.main()


class TestProcess:
    """`clew chat` as a process of its own."""

    def test_it_keeps_everything_in_the_data_folder(self, tmp_path: Path) -> None:
        for typed, expected in [("Remember: my name is Bob\n", "Kept"), ("what is my name?\n", "my name is Bob")]:
            done = subprocess.run(command(), input=typed, capture_output=True, text=True, env=environ(tmp_path))
            assert expected in done.stdout
            assert done.returncode == 0, done.stderr
        assert (tmp_path / "clew" / "chat.db").is_file()

    def test_replies_arrive_while_the_model_still_talks(self, tmp_path: Path, model_server: ModelServer) -> None:
        model_server.go_on.clear()
        env = environ(tmp_path) | model_server.environment("openai")
        with subprocess.Popen(command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as chat:
            assert chat.stdin is not None
            assert chat.stdout is not None
            chat.stdin.write(b"hi\n")
            chat.stdin.close()
            assert chat.stdout.read(5) == b"Hello"
            model_server.go_on.set()
            assert chat.stdout.read() == b", Bob.\n"
        assert chat.returncode == 0

    @pytest.mark.skipif(os.name != "posix", reason="sends a signal")
    def test_ctrl_c_ends_it_politely(self, tmp_path: Path, interruptible: str) -> None:
        with subprocess.Popen(
            command(interruptible),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ(tmp_path),
        ) as chat:
            assert chat.stderr is not None
            assert b"no language model" in chat.stderr.readline()
            chat.send_signal(signal.SIGINT)
            _, told = chat.communicate(timeout=20)
        assert b"Goodbye." in told
        assert b"Traceback" not in told
        assert chat.returncode == 0

    @pytest.mark.skipif(os.name != "posix", reason="sends a signal")
    def test_ctrl_c_breaks_off_a_reply_and_the_message_is_not_lost(
        self, tmp_path: Path, model_server: ModelServer, interruptible: str
    ) -> None:
        model_server.go_on.clear()
        env = environ(tmp_path) | model_server.environment("openai")
        with subprocess.Popen(
            [*command(interruptible), "--thread", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
        ) as chat:
            assert chat.stdin is not None
            assert chat.stdout is not None
            chat.stdin.write(b"hi\n")
            chat.stdin.flush()
            assert chat.stdout.read(5) == b"Hello"
            chat.send_signal(signal.SIGINT)
            assert chat.wait(timeout=20) == 0
        model_server.go_on.set()
        again = subprocess.run(
            [*command(), "--thread", "1"], input="/retry\n", capture_output=True, text=True, env=env, check=False
        )
        assert again.stdout == "Hello, Bob.\n", again.stderr


@pytest.fixture
def interruptible() -> str:
    """Make Ctrl-C count in a child even if this process was told to ignore it."""
    return "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


def command(before: str = "") -> list[str]:
    return [sys.executable, "-c", f"{before}\nfrom clew.cli import main; main()", "chat"]


def environ(folder: Path) -> dict[str, str]:
    return {**os.environ, "XDG_DATA_HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
