"""Takes the blocks of code out of a page of the documentation, so that tests can run them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block.

    Args:
        code: what stands between the fences.
        line: number of its first line in the page, from 1.
    """

    code: str
    line: int


def blocks(page: Path, language: str) -> list[Block]:
    """Return the page's blocks in a language, in order."""
    text = page.read_text(encoding="utf-8")
    fences = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
    return [Block(code=fence[1], line=text.count("\n", 0, fence.start(1)) + 1) for fence in fences]
