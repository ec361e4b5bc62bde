"""The code in the documentation runs as printed: the Python blocks of a page are one program.

A block that runs has the language `python`. One that shows a file has a title: `test_tutorial.py` runs those of the
tutorial, and the tests beside this one those of `examples/`. What cannot be run here has the language `py`; such blocks
are few, and they are counted.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import clew
from support.pages import all_blocks, blocks

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LANGUAGES = {
    "python": "is run",
    "py": "cannot be run here: counted below",
    "console": "commands: test_docs_commands.py checks them",
    "text": "what a program prints",
    "json": "data",
}
# Models behind a key, tests for pytest itself to run, and a checkpointer that the reader writes.
NOT_RUN = {"README.md": 1, "docs/how-to/test-your-workflow.md": 3}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.usefixtures("any_model")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_the_blocks_of_a_page_run_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": page.stem}
    for block in blocks(page, "python"):
        # So many empty lines before it that a traceback shows the line of the page.
        exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec", dont_inherit=True), names)


def test_every_block_says_what_it_is() -> None:
    for page in (*PAGES, ROOT / "README.md"):
        for block in all_blocks(page):
            assert block.language in LANGUAGES, f"{name_of(page)}, line {block.line}: say one of {sorted(LANGUAGES)}"


def test_a_block_that_shows_a_file_is_run_elsewhere() -> None:
    """By `test_tutorial.py`, or as the example that it takes in."""
    for page in (page for page in PAGES if page.name != "tutorial.md"):
        for block in (block for block in all_blocks(page) if block.title):
            assert block.code.strip() == f'--8<-- "{block.title}"', f"{name_of(page)}, line {block.line}"
            assert (ROOT / block.title).is_file()


def test_few_blocks_are_not_run_and_those_are_python() -> None:
    found = {name_of(page): blocks(page, "py") for page in (*PAGES, ROOT / "README.md") if blocks(page, "py")}
    assert {name: len(shown) for name, shown in found.items()} == NOT_RUN
    for name, shown in found.items():
        for block in shown:
            compile(block.code, name, "exec")


def test_every_name_in_the_table_of_imports_is_there() -> None:
    table = (DOCS / "from-langgraph.md").read_text(encoding="utf-8").split("## What is the same")[0]
    rows = re.findall(r"^\| (`lang.*?) \| (.*) \|$", table, re.M)
    assert len(rows) >= 15
    for theirs, ours in rows:
        named = {name for name in re.findall(r"`(\w+)`", theirs) if name not in ("langgraph", "langchain_core")}
        named |= set(re.findall(r"from clew import (\w+)", ours))
        assert named, theirs
        assert [name for name in named if not hasattr(clew, name)] == []


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{name_of(page)} links to {link}"
