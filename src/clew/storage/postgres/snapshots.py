"""Which transactions a statement sees: the moment of a PostgreSQL database, for whatever is kept of it elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from clew.storage.postgres.statements import rows

if TYPE_CHECKING:
    import psycopg


class Snapshot(Struct, frozen=True):
    """What `pg_current_snapshot()` says; see PostgreSQL's documentation of pg_snapshot.

    Args:
        text: as PostgreSQL writes it.
        first_running: all transactions before it are seen.
        next: neither it nor what comes after it is seen.
        running: those between that are not seen.
        own: the transaction that sees what it wrote itself, which the text does not say; None where it wrote nothing.
    """

    text: str
    first_running: int
    next: int
    running: frozenset[int]
    own: int | None

    def __lt__(self, other: Snapshot) -> bool:
        """Say whether the other one sees all that this one sees, and perhaps more."""
        unseen = self.running
        return (
            self != other
            and self.next <= other.next
            and all(number in unseen for number in other.running if number < self.next)
        )


def current_snapshot(connection: psycopg.Connection) -> Snapshot:
    """Give the snapshot of the next statement or, in a transaction that reads one state, of all of it."""
    [(text, own)] = rows(
        connection, "SELECT pg_current_snapshot()::text, pg_current_xact_id_if_assigned()::text::bigint"
    )
    first, after, running = text.split(":")
    return Snapshot(text, int(first), int(after), frozenset(map(int, running.split(",") if running else ())), own)
