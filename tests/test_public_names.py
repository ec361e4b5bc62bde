"""The public names resolve, and importing clew stays light."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import clew

LOADED_BY_IMPORT = """
import json, sys
before = set(sys.modules)
import clew
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""
HEAVY = {"numpy", "pydantic", "langchain_core", "typer", "rich", "psycopg", "wordllama", "openai", "anthropic"}


def modules_loaded_by(source: str) -> set[str]:
    # -S keeps site packages' start-up hooks out of the count, hence the path by hand.
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{source}"
    printed = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True).stdout
    return set(json.loads(printed))


def test_importing_clew_loads_msgspec_and_the_standard_library_alone() -> None:
    loaded = modules_loaded_by(LOADED_BY_IMPORT)
    assert not loaded & HEAVY
    # typing_extensions is no dependency; msgspec takes it along where it is installed.
    assert loaded - set(sys.stdlib_module_names) <= {"clew", "msgspec", "typing_extensions"}


@pytest.mark.parametrize("name", clew.__all__)
def test_a_public_name_resolves(name: str) -> None:
    assert getattr(clew, name) is not None
    assert name in dir(clew)


def test_the_list_of_names_has_no_doubles() -> None:
    assert len(clew.__all__) == len(set(clew.__all__))


def test_an_unknown_name_is_an_attribute_error_that_says_so() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        clew.no_such_name  # noqa: B018
