"""Operations of one call, checked, on their way to the one transaction that carries them out. No database, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from clew.store.history import Version
from clew.store.keeper import How
from clew.store.planning import Draft, PreparedRead, PreparedSearch, PreparedWrite


class Plan(Struct):
    """Operations, checked, and what is made of them until one transaction carries them out.

    Args:
        reads: with the places of their results.
        drafts: of writes.
        ahead: drafts of writes that only the reads are to see.
        writes, pending: made of the drafts.
        unanswered: the writes for whose vectors the embedder is still to be asked, with their texts.
        outbox_is_due: whether what waits for its vectors is to be worked off.
    """

    reads: list[tuple[int, PreparedRead]]
    drafts: list[Draft]
    ahead: list[Draft]
    writes: Sequence[PreparedWrite] = ()
    pending: Sequence[PreparedWrite] = ()
    unanswered: Sequence[tuple[PreparedWrite, tuple[str, ...]]] = ()
    outbox_is_due: bool = False

    def texts(self) -> list[str]:
        """Give the texts of all writes."""
        return [text for draft in (*self.drafts, *self.ahead) for text in draft.texts]

    def how(self) -> How:
        """Say what kind of transaction it takes."""
        if self.pending:
            return "look_ahead"
        return "write" if self.writes else "read"


def looking_back(plan: Plan, results: list[Any]) -> list[tuple[int, PreparedSearch, list[Version]]]:
    """Give the searches in the past, which are ranked after the transaction, with what they are to search."""
    return [(at, read, results[at]) for at, read in plan.reads if isinstance(read, PreparedSearch) and read.past]
