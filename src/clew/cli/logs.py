"""What the command logs, on standard error: one line each, with the fields that were logged beside the text.

A field whose value the text has already is left out.
"""

from __future__ import annotations

import logging
import re

from clew.cli.hiding import without_passwords

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class _Lines(logging.Formatter):
    """Puts fields after the text, as name=value, and hides passwords."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        beside = {name: str(value) for name, value in vars(record).items() if name not in _OWN}
        fields = [f"{name}={value}" for name, value in beside.items() if not _says(text, value)]
        return without_passwords(" ".join([super().format(record), *fields]))


def _says(text: str, value: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None


def set_up(verbose: bool) -> None:
    """Show warnings; with `verbose` all that clew logs, and what others log from level INFO."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
    if verbose:
        logging.getLogger("clew").setLevel(logging.DEBUG)


def show_progress() -> None:
    """Show at least what clew logs from level INFO: for a command whose log is all that one sees of it."""
    own = logging.getLogger("clew")
    if own.getEffectiveLevel() > logging.INFO:
        own.setLevel(logging.INFO)
