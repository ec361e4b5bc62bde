"""What a program loads that makes a workflow: nothing that it does not use."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

DECLARED = """
from clew import entrypoint, task

@task
def double(number: int) -> int:
    return 2 * number

@entrypoint()
def workflow(number: int) -> int:
    return double(number).result()
"""
MOST_MODULES = 140  # most of them msgspec's and the standard library's


def loaded(program: str) -> set[str]:
    """Return the modules that a program loads in a process of its own."""
    # -S keeps site packages' start-up hooks out of the count, hence the path by hand.
    code = f"import json, sys\nsys.path[:0] = {sys.path!r}\n{program}\nprint(json.dumps(list(sys.modules)))"
    printed = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True).stdout
    names: list[str] = json.loads(printed)
    return set(names)


def test_a_workflow_loads_clew_and_msgspec_alone() -> None:
    owners = packages_distributions()
    tops = {name.partition(".")[0] for name in loaded(f"{DECLARED}\nworkflow.invoke(1)")}
    distributions = {owner for top in tops for owner in owners.get(top, ())}
    assert distributions <= {"clew", "msgspec", "typing_extensions", "typing-extensions"}
    assert not tops & {"numpy", "psycopg", "openai", "anthropic", "langchain_core", "typer", "rich", "sqlalchemy"}


def test_how_many_modules_a_workflow_loads_that_is_only_declared() -> None:
    assert len(loaded(DECLARED)) <= MOST_MODULES


def test_what_is_only_declared_loads_nothing_that_runs_or_keeps_it() -> None:
    names = loaded(DECLARED)
    assert not names & {"asyncio", "concurrent.futures", "logging", "hashlib", "sqlite3", "ssl"}
    assert not {name for name in names if name.startswith(("clew.storage", "clew.store"))}


def test_what_runs_and_keeps_blocking_code_alone_never_loads_asyncio(tmp_path: Path) -> None:
    run = f"""
from clew import Database
workflow.invoke(1)
list(workflow.stream(1, stream_mode=["updates", "custom"]))
for database in (Database(":memory:"), Database({str(tmp_path / "app.db")!r})):
    kept = entrypoint(database=database)(workflow.__wrapped__)
    kept.invoke(1, {{"configurable": {{"thread_id": "1"}}}})
    database.store.put(("notes",), "1", {{"text": "x"}})
    database.store.search(("notes",), query="x")
"""
    assert "asyncio" not in loaded(f"{DECLARED}\n{run}")
