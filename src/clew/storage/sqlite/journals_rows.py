"""How runs and records lie in their tables: columns, and rows to values and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from clew.engine.records import Record, Run
from clew.storage.sqlite.pieces import unpack_outcomes, unpack_run

RUN = (  # as it is written
    "run_id, number, source, parent, previous, step, status, input, value, saved, error, questions, metadata, "
    "created_s, ended_s, attempts, crashes"
)
_PIECE = "(SELECT {} FROM clew_pieces WHERE clew_pieces.id = dictionary)"
KEPT_RUN = ", ".join([RUN, "packed", *map(_PIECE.format, ("name", "body", "is_packed"))])
RECORD = ", ".join(Record.__struct_fields__)  # so that a record as a tuple is a row
KEPT_RECORD = f"{RECORD}, is_packed, run"


def run_of(row: tuple[Any, ...]) -> Run:
    """Return the run in a row that begins with the columns `KEPT_RUN`."""
    run = Run(
        id=row[0], number=row[1], source=row[2], parent=row[3], previous=row[4], step=row[5], status=row[6],
        input=row[7], value=row[8], saved=row[9], error=row[10], questions=row[11], metadata=row[12],
        created_s=row[13], ended_s=row[14], attempts=row[15], crashes=row[16],
    )  # fmt: skip
    return run if row[17] is None else unpack_run(run, *row[17:21])


def records_of(connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> list[Record]:
    """Return the records in rows of the columns `KEPT_RECORD`, all of one run."""
    kept = [(_record_of(row), row[9], row[10]) for row in rows]
    if any(is_packed for _, is_packed, _ in kept):
        return unpack_outcomes(connection, kept[0][2], [(record, is_packed) for record, is_packed, _ in kept])
    return [record for record, _, _ in kept]


def _record_of(row: tuple[Any, ...]) -> Record:
    return Record(
        key=row[0], name=row[1], fingerprint=row[2], arguments=row[3], state=row[4], outcome=row[5], attempts=row[6],
        started_s=row[7], ended_s=row[8],
    )  # fmt: skip


def put_run(connection: sqlite3.Connection, thread: int, run: Run) -> int:
    """Keep a run and return its row; one that is kept already changes only in what may change."""
    (id,) = connection.execute(
        f"INSERT INTO clew_runs (thread, {RUN}) VALUES (?{', ?' * 17}) ON CONFLICT (run_id) DO UPDATE SET "
        "status = excluded.status, questions = excluded.questions, error = excluded.error, "
        "attempts = excluded.attempts, crashes = excluded.crashes, ended_s = excluded.ended_s RETURNING id",
        (
            thread, run.id, run.number, run.source, run.parent, run.previous, run.step, run.status, run.input,
            run.value, run.saved, run.error, run.questions, run.metadata, run.created_s, run.ended_s, run.attempts,
            run.crashes,
        ),
    ).fetchone()  # fmt: skip
    return int(id)
