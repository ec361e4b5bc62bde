"""What belongs to a subject, such as a user: which threads, and which parts of long-term memory. Exact matches only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any


def owns_thread(subject: str, thread_id: str, configs: Iterable[Mapping[str, Any]], keys: Collection[str]) -> bool:
    """Say whether a thread belongs to a subject.

    It belongs to everybody whom its configs name; where they name nobody, to the one that it is called like.

    Args:
        subject: the name of somebody or something.
        thread_id: of the thread.
        configs: what is kept of those of its runs, entries by name.
        keys: which entries name a subject.
    """
    entries = (kept[key] for kept in configs for key in keys if key in kept)
    named = {str(entry) for entry in entries if not isinstance(entry, bool)}
    return subject in named if named else subject == thread_id


def owned_prefixes(subject: str, namespaces: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the namespaces that have a subject as a label, each cut off after it, so that all below is meant."""
    cut = {labels[: labels.index(subject) + 1] for labels in namespaces if subject in labels}
    return sorted(cut)
