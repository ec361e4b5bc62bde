"""Hides passwords of database addresses in what is printed."""

from __future__ import annotations

import re

_IN_ADDRESS = re.compile(r"(//?[^\s/:@]*:)\S*@")
_NAMED = re.compile(r"(password=)('[^']*'|[^\s&'\"]+)", re.I)


def without_passwords(text: str) -> str:
    """Return a text with *** for each password of an address, such as postgresql://user:password@host/name."""
    return _NAMED.sub(r"\1***", _IN_ADDRESS.sub(r"\1***@", text))
