"""What a run shows to readers elsewhere: the SQL of its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clew.errors import Conflict
from clew.storage.base import AddEvents, LoadEvents
from clew.storage.postgres import failing
from clew.storage.postgres.calls import BIG, BYTES, Call, Function
from clew.storage.postgres.leases import HOLD, fenced_off, lock_thread
from clew.storage.postgres.statements import rows

if TYPE_CHECKING:
    import psycopg

_ADD_EVENTS = Function("clew_add_events", (BIG, BIG, BIG, BYTES), place=6)


def add_events(operation: AddEvents) -> Call[None]:
    """Return the call that keeps events."""
    lease, events = operation.lease, operation.events
    thread, run = lease.handle
    rows_of: dict[Function, list[tuple[Any, ...]]] = {HOLD: [(thread, lease.epoch)]}
    if events:  # which look for themselves whether the run was taken up by another writer
        rows_of = {_ADD_EVENTS: [(thread, lease.epoch, run, body) for body in events]}

    def recover(connection: psycopg.Connection) -> tuple[None] | None:
        lock_thread(connection, thread)
        last = "SELECT body FROM clew_events WHERE run = %s ORDER BY number DESC LIMIT %s"
        kept = [body for (body,) in rows(connection, last, (run, len(events)))]
        return (None,) if events and kept[::-1] == list(events) else None

    def refused(error: psycopg.Error) -> Conflict | None:
        return fenced_off(lease) if error.sqlstate == failing.FENCED_OFF else None

    return Call(rows_of, lambda found: None, refused, recover)


def load_events(connection: psycopg.Connection, operation: LoadEvents) -> list[tuple[int, bytes]]:
    found = rows(
        connection,
        "SELECT number, body FROM clew_events WHERE run = (SELECT id FROM clew_runs WHERE run_id = %s) AND number > %s "
        "ORDER BY number",
        (operation.run_id, operation.after),
    )
    return [(number, body) for number, body in found]
