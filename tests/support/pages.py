"""Takes the blocks of code out of a page of the documentation, so that tests can run them."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)(?P<more>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```$", re.M | re.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block.

    Args:
        language: what stands behind the opening fence; empty if nothing does.
        title: the name of the file that it shows, or None.
        code: what stands between the fences.
        line: number of its first line in the page, from 1.
    """

    language: str
    title: str | None
    code: str
    line: int


def all_blocks(page: Path) -> list[Block]:
    """Return the page's blocks, in order."""
    text = page.read_text(encoding="utf-8")
    return [_block(fence, text.count("\n", 0, fence.start("code")) + 1) for fence in _FENCE.finditer(text)]


def blocks(page: Path, language: str) -> list[Block]:
    """Return the page's blocks in a language, in order; not those that show a file."""
    return [block for block in all_blocks(page) if block.language == language and block.title is None]


def commands(block: Block) -> list[tuple[str, str]]:
    """Return what a block of language "console" types, each with what the page shows as its output.

    A line that begins with `$ ` is typed. Where no line does, all are.
    """
    lines = block.code.replace("\\\n", " ").splitlines()
    if not any(line.startswith("$ ") for line in lines):
        return [(line, "") for line in lines if line.strip()]
    typed: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith("$ "):
            typed.append((line.removeprefix("$ "), ""))
        else:
            command, shown = typed[-1]
            typed[-1] = (command, f"{shown}{line}\n")
    return typed


def _block(fence: re.Match[str], line: int) -> Block:
    title = re.search(r'title="([^"]+)"', fence["more"])
    return Block(language=fence["language"], title=title and title[1], code=textwrap.dedent(fence["code"]), line=line)
