"""Every command that a page shows can be typed: the program is there, and `clew` understands its words."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from clew.cli.app import app
from support.pages import blocks, commands

ROOT = Path(__file__).parents[2]
PAGES = (*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md")
SHOWN = [
    pytest.param(command, id=f"{page.relative_to(ROOT).as_posix()}: {command}")
    for page in PAGES
    for block in blocks(page, "console")
    for command, _ in commands(block)
]
OTHER_PROGRAMS = {".venv/bin/ruff", "export", "python", "source"}


@pytest.mark.parametrize("command", SHOWN)
def test_a_command_of_a_page_can_be_typed(command: str) -> None:
    words = shlex.split(command.partition(" > ")[0], comments=True)
    if words[0] == "clew":
        assert understood_by_clew(words[1:])
    elif words[:2] == ["pip", "install"]:
        assert extras_in(words[2]) <= set(project()["optional-dependencies"])
    elif "script/" in words[0]:
        assert (ROOT / words[0]).is_file()
    else:
        assert words[0] in OTHER_PROGRAMS


def test_every_extra_is_explained() -> None:
    table = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").split("| extra |")[1]
    told = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", table, re.M)))
    assert sorted(told) == sorted(project()["optional-dependencies"])


def understood_by_clew(words: list[str]) -> bool:
    """Parse a command of `clew` as it does itself, without carrying it out."""
    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    if words == ["--help"]:
        return True
    return not hasattr(command, "commands") and command.make_context(command.name, words) is not None


def extras_in(requirement: str) -> set[str]:
    """Return `cli` and `local` of `clew[cli,local]`."""
    found = re.search(r"\[(.*)\]", requirement)
    return set(found[1].split(",")) if found else set()


def project() -> dict[str, Any]:
    read: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return read
