"""How runs and records lie in their tables: columns, and rows to values and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import chain, starmap
from typing import Any

from msgspec.structs import replace

from clew.engine.records import Record, Run
from clew.storage.sqlite.ended_runs import PACKED, RECORD, Row, unpack_run
from clew.storage.sqlite.packing import long_id, short_id

RUN = (  # as it is written
    "run_id, number, source, parent, previous, step, status, input, value, saved, error, questions, metadata, "
    "created_s, ended_s, attempts, crashes"
)
KEPT_RUN = f"{RUN}, {PACKED}"


def run_of(row: tuple[Any, ...]) -> Run:
    """Return the run in a row that begins with the columns `KEPT_RUN`."""
    run = Run(
        id=long_id(row[0]), number=row[1], source=row[2], parent=row[3],
        previous=None if row[4] is None else long_id(row[4]), step=row[5], status=row[6],
        input=row[7], value=row[8], saved=row[9], error=row[10], questions=row[11], metadata=row[12],
        created_s=row[13], ended_s=row[14], attempts=row[15], crashes=row[16],
    )  # fmt: skip
    if row[19] is None:
        return run
    kept = unpack_run(row[17:23])
    return replace(run, input=kept.input, value=kept.value, saved=kept.saved, parent=kept.parent)


def records_of(connection: sqlite3.Connection, run: int) -> list[Record]:
    """Return the journal of a run, oldest record first.

    Raises:
        UnreadableRecord: it is damaged.
    """
    ended = f"SELECT {PACKED} FROM clew_runs WHERE id = ? AND packed IS NOT NULL"
    row = connection.execute(ended, (run,)).fetchone()
    # Their ids first: sorting what is only found by (run, key) would carry each row, outcome and all, into a table.
    those = "SELECT id FROM clew_records WHERE run = ?"
    later: Iterable[Row] = connection.execute(  # than what was packed, if anything was
        f"SELECT {RECORD} FROM clew_records WHERE id IN ({those}) ORDER BY id", (run,)
    )
    return list(starmap(Record, chain(unpack_run(row).records if row else (), later)))


def put_run(connection: sqlite3.Connection, thread: int, run: Run) -> int:
    """Keep a run and return its row; one that is kept already changes only in what may change."""
    (id,) = connection.execute(
        f"INSERT INTO clew_runs (thread, {RUN}) VALUES (?{', ?' * 17}) ON CONFLICT (run_id) DO UPDATE SET "
        "status = excluded.status, questions = excluded.questions, error = excluded.error, "
        "attempts = excluded.attempts, crashes = excluded.crashes, ended_s = excluded.ended_s RETURNING id",
        (
            thread, short_id(run.id), run.number, run.source, run.parent,
            None if run.previous is None else short_id(run.previous), run.step, run.status, run.input, run.value,
            run.saved, run.error, run.questions, run.metadata, run.created_s, run.ended_s, run.attempts, run.crashes,
        ),
    ).fetchone()  # fmt: skip
    return int(id)
