"""The code in the documentation runs as printed: the Python blocks of a page are one program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import clew
from support.pages import blocks

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if blocks(page, "python"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_blocks_of_a_page_run_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": page.stem}
    for block in blocks(page, "python"):
        # So many empty lines before it that a traceback shows the line of the page.
        exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec"), names)


def test_the_page_for_those_who_come_from_langgraph_is_among_them() -> None:
    assert DOCS / "from-langgraph.md" in PAGES


def test_every_name_in_its_table_of_imports_is_there() -> None:
    table = (DOCS / "from-langgraph.md").read_text(encoding="utf-8").split("## What is the same")[0]
    rows = re.findall(r"^\| (`lang.*?) \| (.*) \|$", table, re.M)
    assert len(rows) >= 15
    for theirs, ours in rows:
        named = {name for name in re.findall(r"`(\w+)`", theirs) if name not in ("langgraph", "langchain_core")}
        named |= set(re.findall(r"from clew import (\w+)", ours))
        assert named, theirs
        assert [name for name in named if not hasattr(clew, name)] == []


def test_links_between_pages_lead_somewhere() -> None:
    for page in DOCS.rglob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
