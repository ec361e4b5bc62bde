"""What the examples need of a terminal: the key of a model's provider, and lines that a person types."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator


def need(key: str) -> None:
    """End the program with a plain word if the key of the model's provider is not set."""
    if not os.environ.get(key):
        sys.exit(f"This example talks to a real model, for which {key} must be set.")


def ask(prompt: str) -> str:
    """Return the line that is typed, without what surrounds it. The end of the input, or Ctrl-C, ends the program."""
    try:
        return input(prompt).strip()
    except (EOFError, KeyboardInterrupt):
        print()
        sys.exit()


def lines(prompt: str) -> Iterator[str]:
    """Yield the lines that are typed, until one is empty."""
    while line := ask(prompt):
        yield line
