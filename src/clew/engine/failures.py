"""Which errors belong to the one that ended a run, and which are outcomes worth keeping."""

from __future__ import annotations

from clew.errors import ClewError, TaskError, VersionConflict


def lineage(error: BaseException) -> set[int]:
    """Return the identities of an error, its causes and contexts, and the members of its groups."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        waiting += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
    return seen


def is_outcome(error: BaseException) -> bool:
    """Say whether an error is what a call came to, and not a stop, a cancellation, or a fault around the call."""
    return isinstance(error, Exception) and (
        not isinstance(error, ClewError) or isinstance(error, TaskError | VersionConflict)
    )
