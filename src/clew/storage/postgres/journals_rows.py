"""How runs and records lie in their tables: columns, and rows to values and back."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import starmap
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from clew.engine.records import Record, Run, ThreadKey
from clew.storage.postgres.calls import BYTES, INT, REAL, TEXT
from clew.storage.postgres.statements import rows

if TYPE_CHECKING:
    import psycopg

RUN = (
    "run_id, number, source, parent, previous, step, status, input, value, saved, error, questions, metadata, "
    "created_s, ended_s, attempts, crashes"
)
RUN_COLUMNS = (
    TEXT, INT, TEXT, TEXT, TEXT, INT, TEXT, BYTES, BYTES, BYTES, TEXT, BYTES, BYTES, REAL, REAL, INT, INT,
)  # fmt: skip
RECORD = ", ".join(Record.__struct_fields__)
RECORD_COLUMNS = (TEXT, TEXT, BYTES, TEXT, TEXT, BYTES, INT, REAL, REAL)
columns_of = attrgetter(*Record.__struct_fields__)  # a record as a row of the columns `RECORD`
THREAD = "(SELECT id FROM clew_threads WHERE thread_id = %s AND workflow = %s)"


def run_of(row: tuple[Any, ...]) -> Run:
    """Return the run in a row that begins with the columns `RUN`."""
    return Run(
        id=row[0], number=row[1], source=row[2], parent=row[3], previous=row[4], step=row[5], status=row[6],
        input=row[7], value=row[8], saved=row[9], error=row[10], questions=row[11], metadata=row[12],
        created_s=row[13], ended_s=row[14], attempts=row[15], crashes=row[16],
    )  # fmt: skip


def columns_of_run(run: Run) -> tuple[Any, ...]:
    """Return a run as a row of the columns `RUN`."""
    return (
        run.id, run.number, run.source, run.parent, run.previous, run.step, run.status, run.input, run.value, run.saved,
        run.error, run.questions, run.metadata, run.created_s, run.ended_s, run.attempts, run.crashes,
    )  # fmt: skip


def records_of(found: Iterable[tuple[Any, ...]]) -> list[Record]:
    """Return the records in rows of the columns `RECORD`."""
    return list(starmap(Record, found))


def put_run(connection: psycopg.Connection, thread: int, run: Run) -> int:
    """Keep a new run in the row of its thread and return its row."""
    [(id,)] = rows(
        connection,
        f"INSERT INTO clew_runs (thread, {RUN}) VALUES (%s{', %s' * 17}) RETURNING id",
        (thread, *columns_of_run(run)),
    )
    return int(id)


def find_thread(connection: psycopg.Connection, thread: ThreadKey) -> int | None:
    """Return the row of a thread, locked until the transaction ends, or None if there is none."""
    found = rows(
        connection, "SELECT id FROM clew_threads WHERE thread_id = %s AND workflow = %s FOR NO KEY UPDATE", thread
    )
    return int(found[0][0]) if found else None


def made_thread(connection: psycopg.Connection, thread: ThreadKey, epoch: int, now_s: float) -> int:
    """Return the row of a thread, made if it is missing, locked until the transaction ends."""
    while (found := find_thread(connection, thread)) is None:
        rows(
            connection,
            "INSERT INTO clew_threads (thread_id, workflow, epoch, changed_s) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT DO NOTHING RETURNING id",
            (*thread, epoch, now_s),
        )
    return found
