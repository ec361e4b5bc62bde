"""The tutorial does what it says: its files are written, its commands typed, and what they print is what it shows."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from support.pages import all_blocks, commands

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
PROGRAMS = {
    "python": [sys.executable, "-W", "error"],
    "clew": [sys.executable, "-W", "error", "-c", "from clew.cli import main; main()"],
}
# What differs from run to run: ids, times, and how long something took.
CHANGING = (
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "TIME"),
    (r"\b\d+(\.\d+)? m?s\b", "LONG"),
    (r" +\n", "\n"),
)


def steady(printed: str) -> str:
    for pattern, name in CHANGING:
        printed = re.sub(pattern, name, printed)
    return printed


def typed(command: str, folder: Path) -> str:
    """Type a command and return what it prints."""
    program, *arguments = shlex.split(command)
    wide = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    ran = subprocess.run(
        [*PROGRAMS[program], *arguments], cwd=folder, env=wide, capture_output=True, text=True, check=False
    )
    assert ran.returncode == (1 if "--crash" in arguments else 0), ran.stderr
    return ran.stdout


@pytest.mark.skipif(os.name != "posix", reason="the commands are those of a POSIX shell")
def test_the_tutorial_prints_what_it_shows(tmp_path: Path) -> None:
    played = 0
    for block in all_blocks(PAGE):
        if block.title:
            (tmp_path / block.title).write_text(block.code, encoding="utf-8")
            continue
        for command, shown in commands(block):
            if shown:
                assert steady(typed(command, tmp_path)) == steady(shown), f"line {block.line}: {command}"
                played += 1
    assert played == 12
