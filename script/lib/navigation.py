"""Fills the navigation of the documentation: `folder/*` stands for the pages of a folder, by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Replace each `folder/*` by the pages of the folder; none if there is no such folder. Called by mkdocs."""
    docs = Path(config["docs_dir"])
    config["nav"] = [_filled(entry, docs) for entry in config["nav"]]
    return config


def _filled(entry: Any, docs: Path) -> Any:
    if isinstance(entry, dict):
        return {title: _filled(below, docs) for title, below in entry.items()}
    if not isinstance(entry, list):
        return entry
    return [page for one in entry for page in _pages(one, docs)]


def _pages(entry: Any, docs: Path) -> list[Any]:
    if isinstance(entry, str) and entry.endswith("/*"):
        return [page.relative_to(docs).as_posix() for page in sorted((docs / entry[:-2]).glob("*.md"))]
    return [_filled(entry, docs)]
