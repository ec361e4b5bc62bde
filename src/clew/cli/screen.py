"""What a person sees and types, on a terminal or through pipes. It knows nothing of workflows and memories."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clew.cli.databases import KEYS
from clew.cli.hiding import without_passwords
from clew.errors import ClewError, UnreadableRecord, UsageError

WRONGLY_ASKED = 2  # as typer ends a command with an option that there is not
_UNBOUNDED = 100_000
_CONTROL = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])


#: A line, and what stands below it.
Branch = tuple[str, Sequence["Branch"]]


class Screen:
    """Replies go to standard output, everything else to standard error where nobody sits at the other end."""

    def __init__(self) -> None:
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        # A file or a pipe has no width: ids are to be found in one piece.
        self._out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _UNBOUNDED)
        self._notes = self._out if self.interactive else Console(stderr=True, highlight=False, soft_wrap=True)

    def lines(self) -> Iterator[str]:
        """Read what the person types, line by line, until the end of the input."""
        if not self.interactive:
            yield from sys.stdin
            return
        with contextlib.suppress(ImportError):
            importlib.import_module("readline")  # lines can be edited, and called back with the arrow keys
        while True:
            try:
                yield input("you: ")  # not rich's: readline must know the prompt to redraw the line
            except EOFError:
                self._out.print()
                return

    def note(self, text: str, *, style: str = "dim") -> None:
        """Tell something about the conversation."""
        self._notes.print(Text(_visible(text), style=style))

    def problem(self, text: str) -> None:
        """Tell what went wrong."""
        self.note(text, style="red")

    def listing(self, rows: Iterable[tuple[str, str]], *, as_note: bool = False) -> None:
        """Show names, each with what is to be said about it; as a note where standard output is for JSON alone."""
        console = self._notes if as_note else self._out
        for name, about in rows:
            console.print(Text.assemble((_visible(name), "bold"), "  ", _visible(about)))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Show rows below the names of their columns."""
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(_visible(cell)) for cell in row))
        self._out.print(table, soft_wrap=False)

    def tree(self, branch: Branch) -> None:
        """Show a line with what stands below it."""
        self._out.print(Text("\n".join(map(_visible, _lines(branch)))))

    def json(self, data: Any) -> None:
        """Print data for programs."""
        print(json.dumps(data, indent=2))

    async def reply(self, pieces: AsyncIterator[str]) -> None:
        """Show a reply while it arrives."""
        with self._waiting():
            first = await anext(pieces, "")
        if self.interactive:
            self._out.print("assistant: ", end="", style="bold green")
        self._show(first)
        try:
            async for piece in pieces:
                self._show(piece)
        finally:
            self._out.print()

    def _show(self, piece: str) -> None:
        self._out.print(Text(_visible(piece)), end="")
        self._out.file.flush()

    def _waiting(self) -> contextlib.AbstractContextManager[object]:
        return self._out.status("thinking", spinner="dots") if self.interactive else contextlib.nullcontext()


@contextlib.contextmanager
def errors_shown(screen: Screen) -> Generator[None]:
    """Show what goes wrong in a command in one line, and end it: with exit code 2 if it was asked wrongly, else 1."""
    try:
        yield
    except ClewError as error:
        keys = f" (this command reads keys from {KEYS})" if isinstance(error, UnreadableRecord) else ""
        screen.problem(without_passwords(f"clew: {error}{keys}"))
        raise typer.Exit(WRONGLY_ASKED if isinstance(error, UsageError) else 1) from error


def _lines(branch: Branch) -> Iterator[str]:
    """Draw a tree without breaking its lines: not rich's, which cuts them at the width of the screen."""
    line, below = branch
    yield line
    for place, inner in enumerate(below, 1):
        first, rest = ("└── ", "    ") if place == len(below) else ("├── ", "│   ")
        for number, drawn in enumerate(_lines(inner)):
            yield (rest if number else first) + drawn


def _visible(text: str) -> str:
    """Drop control characters: a kept text or a model's must not steer the terminal."""
    return text.translate(_CONTROL)
