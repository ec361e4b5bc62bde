"""What a program loads that makes a workflow: nothing that it does not use."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import packages_distributions

LOADED = """
import json, sys
from clew import entrypoint, task
print(json.dumps(sorted(sys.modules)))
"""
MOST_MODULES = 360  # most of them asyncio's and the standard library's


def loaded() -> list[str]:
    # -S keeps site packages' start-up hooks out of the count, hence the path by hand.
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{LOADED}"
    printed = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True).stdout
    names: list[str] = json.loads(printed)
    return names


def test_a_workflow_loads_clew_and_msgspec_alone() -> None:
    owners = packages_distributions()
    tops = {name.partition(".")[0] for name in loaded()}
    distributions = {owner for top in tops for owner in owners.get(top, ())}
    assert distributions <= {"clew", "msgspec", "typing_extensions", "typing-extensions"}
    assert not tops & {"numpy", "psycopg", "openai", "anthropic", "langchain_core", "typer", "rich", "sqlalchemy"}


def test_how_many_modules_a_workflow_loads() -> None:
    assert len(loaded()) <= MOST_MODULES
