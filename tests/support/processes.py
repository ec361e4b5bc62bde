"""Other processes that a test talks to, line by line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_BEFORE = """
import sys
from clew import *
from clew import errors
THREAD = {"configurable": {"thread_id": "1"}}

def say(line):
    print(line, flush=True)

def hear():
    return sys.stdin.readline().strip()
"""


class Process:
    """A Python program that `say`s lines and `hear`s them."""

    def __init__(self, program: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _BEFORE + program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hears(self, line: str) -> None:
        """Wait for the next line that it says, and compare."""
        said = self.next_line()
        assert said == line, f"the process said {said!r} instead of {line!r}"

    def next_line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def ends_well(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(timeout=30) == 0

    def was_killed(self) -> None:
        assert self._process.wait(timeout=30) == -signal.SIGKILL

    def send(self, what: signal.Signals) -> None:
        os.kill(self._process.pid, what)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()


@contextmanager
def start(program: str) -> Iterator[Process]:
    """Start a program, and see to it that it is gone at the end."""
    process = Process(program)
    try:
        yield process
    finally:
        process.close()
