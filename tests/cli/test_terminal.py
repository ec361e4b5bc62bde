"""The chat on a terminal: it prompts, shows who speaks, and is left politely."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pseudo-terminals")

PATIENCE_S = 20
CHAT = "from clew.cli import main; main()"
ON_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


class Terminal:
    """A person's side of a terminal on which the chat runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.seen = ""

    def type(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def wait_for(self, text: str) -> None:
        assert self._process.stdout is not None
        seen_before = len(self.seen)
        while text not in self.seen[seen_before:]:
            ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE_S)
            assert ready, f"the chat never showed {text!r}: {self.seen}"
            piece = os.read(self._process.stdout.fileno(), 1024)
            assert piece, f"the chat ended before it showed {text!r}: {self.seen}"
            self.seen += piece.decode(errors="replace")

    def exit_code_after(self, key: str) -> int:
        """Press a key, and again as a person would: the line editor misses a Ctrl-C that comes just before it waits."""
        for _ in range(10):
            self.type(key)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(timeout=PATIENCE_S / 10)
        raise AssertionError(f"the chat did not end: {self.seen}")

    def exit_code(self) -> int:
        return self._process.wait(timeout=PATIENCE_S)


@contextmanager
def chat_on_a_terminal(folder: Path) -> Iterator[Terminal]:
    env = {**os.environ, "XDG_DATA_HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm"}
    command = [sys.executable, "-c", ON_A_TERMINAL, sys.executable, "-c", CHAT, "chat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        try:
            yield Terminal(process)
        finally:
            process.kill()


def test_a_person_is_prompted_and_answered(tmp_path: Path) -> None:
    with chat_on_a_terminal(tmp_path) as terminal:
        terminal.wait_for("you:")
        terminal.type("Remember: my name is Bob\n")
        terminal.wait_for("Kept: my name is Bob")
        assert "assistant:" in terminal.seen
        terminal.wait_for("you:")
        terminal.type("/quit\n")
        assert terminal.exit_code() == 0


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["ctrl-c", "ctrl-d"])
def test_it_is_left_politely(key: str, tmp_path: Path) -> None:
    with chat_on_a_terminal(tmp_path) as terminal:
        terminal.wait_for("you:")
        assert terminal.exit_code_after(key) == 0
        assert "Traceback" not in terminal.seen
