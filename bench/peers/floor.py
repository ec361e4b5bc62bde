"""The floor: the least code that keeps the same promise. An INSERT and a COMMIT a task, or one commit for all who wait
at once; without a database a plain call."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bench.memories import FloorMemories
from bench.peers.base import SQLITE, WORDS, Peer
from bench.peers.floor_tables import PostgresTable, Row, SqliteTable, Table

_ROUND_S = 0.01


class Floor(Peer, FloorMemories):
    imports = "import asyncio, sqlite3, msgspec"

    def sequence(self, n: int, colour: str) -> float:
        if self._keeps:
            return self._one_by_one(n)
        return _called(n) if colour == "sync" else asyncio.run(_awaited(n))

    def fan(self, n: int, colour: str) -> float:
        if self._keeps:
            table, rows = self._table(), _rows(n)
            return _timed(lambda: table.insert(rows))
        return _pooled(n) if colour == "sync" else asyncio.run(_gathered(n))

    def empty(self, colour: str, times: int = 200) -> float:
        """A run that begins and ends: two rows, or a call."""
        if self._keeps:
            return self._one_by_one(2 * times) / times
        return (_called(times) if colour == "sync" else asyncio.run(_awaited(times))) / times

    def resume(self, n: int) -> float:
        self._table().insert(_rows(n))
        table = self._table()
        return _timed(lambda: table.read(n))

    def many_runs(self, runs: int, tasks: int) -> float:
        """The runs begin, sleep and record in step, and end: one commit for each round."""
        table = self._table()
        began = time.perf_counter()
        for number in range(tasks + 2):
            if 0 < number <= tasks:
                time.sleep(_ROUND_S)
            table.insert([(f"{run}#{number}", "1") for run in range(runs)])
        return time.perf_counter() - began

    def turn(self, n: int) -> float:
        table = self._thread(n)

        def turn() -> None:
            table.read(n)
            table.insert([("last", WORDS * 2)])

        return _timed(turn)

    def thread_bytes(self, n: int) -> float:
        self._thread(n).settle()
        return float(os.path.getsize(self.file))

    def start(self, threads: int) -> float:
        self._table().insert(_rows(threads))
        return _timed(lambda: self._table().insert([("again", "1"), ("and its end", "1")]))

    def chunk(self, n: int, colour: str) -> float:
        return (_handed_over(n) if colour == "sync" else asyncio.run(_queued(n))) / n

    def first_chunk(self, colour: str) -> float:
        return sorted(self.chunk(1, colour) for _ in range(41))[20]

    @property
    def _keeps(self) -> bool:
        return self.where in (*SQLITE, "postgres")

    def _table(self) -> Table:
        return PostgresTable(self.postgres) if self.where == "postgres" else SqliteTable(self.file, self.synchronous)

    def _one_by_one(self, n: int) -> float:
        table, rows = self._table(), _rows(n)

        def insert_each() -> None:
            for row in rows:
                table.insert_one(row)

        return _timed(insert_each)

    def _thread(self, n: int) -> Table:
        table = self._table()
        table.insert([(f"turn#{number}", WORDS * 2) for number in range(n)])
        return table


def _rows(n: int) -> list[Row]:
    return [(f"step#{number}", str(number)) for number in range(n)]


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _step(number: int) -> int:
    return number


async def _astep(number: int) -> int:
    return number


def _called(n: int) -> float:
    return _timed(lambda: [_step(number) for number in range(n)])


def _pooled(n: int) -> float:
    with ThreadPoolExecutor(16) as pool:
        return _timed(lambda: [future.result() for future in [pool.submit(_step, number) for number in range(n)]])


async def _awaited(n: int) -> float:
    began = time.perf_counter()
    for number in range(n):
        await _astep(number)
    return time.perf_counter() - began


async def _gathered(n: int) -> float:
    began = time.perf_counter()
    await asyncio.gather(*[_astep(number) for number in range(n)])
    return time.perf_counter() - began


def _handed_over(n: int) -> float:
    """Return the seconds of so many chunks from one OS thread to another."""
    chunks: queue.SimpleQueue[int] = queue.SimpleQueue()
    began = time.perf_counter()
    writer = threading.Thread(target=lambda: [chunks.put(number) for number in range(n)])
    writer.start()
    for _ in range(n):
        chunks.get()
    took = time.perf_counter() - began
    writer.join()
    return took


async def _queued(n: int) -> float:
    """Return the seconds of so many chunks from one asyncio task to another."""
    chunks: asyncio.Queue[int] = asyncio.Queue()

    async def write() -> None:
        for number in range(n):
            chunks.put_nowait(number)

    began = time.perf_counter()
    writing = asyncio.create_task(write())
    for _ in range(n):
        await chunks.get()
    took = time.perf_counter() - began
    await writing
    return took
