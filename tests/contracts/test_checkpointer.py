"""The contract of a checkpointer on every engine, and what only one file can promise, and what it costs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from clew import SqliteSaver, ThreadBusy
from clew.storage.base import Append
from clew.storage.queueing import Enqueue
from clew.storage.sqlite.queue import FIND_WORK
from clew.testing.contracts import CheckpointerContract
from clew.testing.contracts.threads import (
    begin,
    end,
    place,
    record,
    waits,
)


class TestCheckpointer(CheckpointerContract):
    """On every engine: see the fixture `saver`."""


class TestOneFile:
    def test_an_error_that_somebody_holds_keeps_no_state_of_the_file(self, tmp_path: Path) -> None:
        with closing(SqliteSaver(tmp_path / "a.db")) as saver, closing(SqliteSaver(tmp_path / "a.db")) as other:
            for owner in ("b", "c", "d"):
                saver.execute(Enqueue(waits(owner, owner)))
            with pytest.raises(ThreadBusy) as held:
                begin(saver)
            other.execute(Enqueue(place("from elsewhere")))
            assert saver.execute(Enqueue(place("from here")))
            assert held.value.owner == "b"


class TestCosts:
    def test_work_is_found_by_indexes(self, tmp_path: Path) -> None:
        with closing(SqliteSaver(tmp_path / "a.db")) as saver:
            plan = saver.database.read(
                lambda connection: connection.execute(f"EXPLAIN QUERY PLAN {FIND_WORK}", ("[]", 1, "m", 1)).fetchall()
            )
        scanned = [line for *_, line in plan if line.startswith("SCAN") and "clew_" in line]
        assert all("clew_threads_held" in line for line in scanned), scanned  # an index of what is held now

    def test_an_append_is_one_insert_per_record_within_its_transaction(self, tmp_path: Path) -> None:
        with closing(SqliteSaver(tmp_path / "a.db")) as saver:
            lease = begin(saver)
            saver.execute(Append(lease=lease, records=[record("a#1")]))
            said: list[str] = []
            saver.database.write(lambda connection: connection.set_trace_callback(said.append))
            del said[:]
            saver.execute(Append(lease=lease, records=[record("b#1"), record("c#1")]))
        assert [line.split()[0] for line in said] == ["BEGIN", "INSERT", "INSERT", "COMMIT"]

    def test_taking_a_thread_that_nobody_wants_asks_nothing_of_the_queue(self, tmp_path: Path) -> None:
        with closing(SqliteSaver(tmp_path / "a.db")) as saver:
            end(saver, begin(saver))
            said: list[str] = []
            saver.database.write(lambda connection: connection.set_trace_callback(said.append))
            del said[:]
            begin(saver, "r2")
        writes = [line.split()[0] for line in said]
        assert writes == ["BEGIN", "SELECT", "INSERT", "UPDATE", "COMMIT"]
