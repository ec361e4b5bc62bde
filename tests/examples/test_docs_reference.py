"""The reference names everything that is public, and nothing public is without a word on what it does."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import clew
from clew import agents, errors, learn, testing

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
TOLD = "\n".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
MODULES = (clew, agents, learn, testing)
# Other names of what is in the reference, and a constant.
IN_WORDS = set(clew._ALIASES) | {"REMOVE_ALL_MESSAGES"}


def named_by(module: ModuleType) -> list[tuple[str, Any]]:
    found = [(f"{module.__name__}.{name}", getattr(module, name)) for name in module.__all__ if name not in IN_WORDS]
    return [(name, public) for name, public in found if getattr(public, "__module__", "") != errors.__name__]


PUBLIC = dict(pair for module in MODULES for pair in named_by(module))
ERRORS = [name for name, found in vars(errors).items() if inspect.isclass(found) and issubclass(found, BaseException)]


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_in_the_reference(name: str) -> None:
    assert f"::: clew.errors.{name}\n" in TOLD


def test_the_page_about_errors_shows_the_whole_tree() -> None:
    found = re.search(r'"src/clew/errors.py:(\d+):(\d+)"', TOLD)
    assert found
    lines = Path(errors.__file__).read_text(encoding="utf-8").splitlines()
    shown = lines[int(found[1]) - 1 : int(found[2])]
    assert shown == (errors.__doc__ or "").splitlines()[2:]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_in_the_reference(name: str) -> None:
    assert re.search(rf"^::: {re.escape(name)}$", TOLD, re.M)


@pytest.mark.parametrize("name", sorted(IN_WORDS))
def test_another_name_of_something_is_explained(name: str) -> None:
    assert f"{name}`" in TOLD


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_says_what_it_is(name: str) -> None:
    public = PUBLIC[name]
    if not inspect.isclass(public) and not inspect.isroutine(public):
        return  # an alias of a type has no docstring of its own
    assert public.__doc__, name
    for inner, member in vars(public).items() if inspect.isclass(public) else ():
        if not inner.startswith("_") and inspect.isfunction(member) and member.__name__ == inner:
            assert inspect.getdoc(member), f"{name}.{inner}"
