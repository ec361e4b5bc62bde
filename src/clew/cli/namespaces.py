"""A namespace in one line, as people type and read it: `memories/1`.

A `/` inside a label is written `%2F` and a `%` is written `%25`; other characters may be escaped like this too, and
control characters are. Nothing at all stands for every namespace.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from clew.errors import InvalidNamespaceError
from clew.store.namespaces import check_labels
from clew.store.operations import Namespace

_ESCAPED = str.maketrans({character: quote(character, safe="") for character in ["/", "%", *map(chr, range(32))]})
_CONTROLS = str.maketrans({chr(code): quote(chr(code), safe="") for code in range(127, 160)})


def parse_namespace(text: str) -> Namespace:
    """Read a namespace or prefix, possibly of no labels.

    Raises:
        InvalidNamespaceError: a label is empty or has a period, or an escape is not UTF-8.
    """
    try:
        labels = [unquote(label, errors="strict") for label in text.split("/")] if text else []
    except UnicodeDecodeError as error:
        raise InvalidNamespaceError(f"the namespace {text!r} has an escape that is no UTF-8: {error.reason}") from error
    return check_labels(labels)


def show_namespace(namespace: Namespace) -> str:
    """Write a namespace so that `parse_namespace` reads it again."""
    return "/".join(label.translate(_ESCAPED).translate(_CONTROLS) for label in namespace)
