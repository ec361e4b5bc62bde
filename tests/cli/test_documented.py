"""Every command and option of `clew` is in docs/command-line.md, and what is there exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperArgument, TyperGroup, TyperOption

from clew.cli.app import app

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Give all commands that do something, each with the words that one types for it."""
    if isinstance(command, TyperGroup):
        for word, inner in command.commands.items():
            yield from commands(inner, f"{name} {word}")
    else:
        yield name, command


CLEW = typer.main.get_command(app)
COMMANDS = dict(commands(CLEW, "clew"))
SECTIONS = dict(re.findall(r"^## `(clew[^`]*)`$\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))


def options(command: Any) -> set[str]:
    found = {
        name for each in command.params if isinstance(each, TyperOption) for name in (*each.opts, *each.secondary_opts)
    }
    return found - {"--help"}


def test_the_sections_are_the_commands() -> None:
    assert set(SECTIONS) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_a_command_are_those_documented(name: str) -> None:
    documented = {option for line in re.findall(r"^- (`--.*?):", SECTIONS[name], re.M) for option in _named(line)}
    assert documented == options(COMMANDS[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_arguments_of_a_command_are_named(name: str) -> None:
    for argument in COMMANDS[name].params:
        if isinstance(argument, TyperArgument):
            metavar = (argument.metavar or argument.name or "").upper().strip("[].")
            assert f"`{metavar}`" in SECTIONS[name]


def test_the_options_of_clew_itself_are_documented() -> None:
    common = PAGE.split("## What all commands have in common")[1].split("\n## ")[0]
    assert {option for line in re.findall(r"^- (`--.*?):", common, re.M) for option in _named(line)} == options(CLEW)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_says_what_it_is(name: str) -> None:
    assert COMMANDS[name].help
    for option in COMMANDS[name].params:
        assert getattr(option, "help", None), option.name


def test_what_prints_data_prints_json() -> None:
    without = {name for name, command in COMMANDS.items() if "--json" not in options(command)}
    # They print a conversation, a log, SQL, and lines of JSON.
    assert without == {"clew chat", "clew worker", "clew migrate", "clew export"}


def _named(line: str) -> list[str]:
    return re.findall(r"--[\w-]+", line)
