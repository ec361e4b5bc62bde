"""What lies beneath: the statements that Clew sends to SQLite, once more without Clew around them.

The floor of the other cases keeps less than Clew promises. Here the promise is the same to the byte: what Clew said to
the file is noted, and then said again to a copy of the file as it was before. What is left is what Clew itself takes.
"""

from __future__ import annotations

import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import clew
from bench.__main__ import SHM
from bench.memories import PER_NAMESPACE, namespace_of, value_of
from bench.peers.floor import Floor
from clew.storage.sqlite import connections

_TASKS = 1000
_ITEMS = 10_000
_CALLS = 500
Said = tuple[str, tuple[Any, ...]]


class NotingConnection(connections.Connection):
    """A connection that notes what is said to it while it is asked to."""

    noted: list[Said] | None = None

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        if NotingConnection.noted is not None:
            NotingConnection.noted.append((sql, parameters))
        return super().execute(sql, parameters)


def main(rounds: int = 5) -> None:
    """Print a table: microseconds of the floor, of the same statements bare, and of Clew."""
    connections.Connection = NotingConnection  # type: ignore[misc, assignment]
    found: dict[str, list[tuple[float, float, float]]] = {}
    for number in range(rounds):
        for name, measure in _CASES.items():
            with tempfile.TemporaryDirectory(dir=SHM) as folder:
                found.setdefault(name, []).append(measure(Path(folder)))
            print(f"{number + 1}/{rounds} {name}", file=sys.stderr)
    print("| µs | floor | the same statements, bare | Clew | Clew, times bare |\n|---|---:|---:|---:|---:|")
    for name, figures in found.items():
        floor, bare, clew = (statistics.median(figure) * 1e6 for figure in zip(*figures, strict=True))
        print(f"| {name} | {floor:.3g} | {bare:.3g} | {clew:.3g} | {clew / bare:.2g} |")


def _task(folder: Path) -> tuple[float, float, float]:
    saver = clew.SqliteSaver(folder / "clew.db")

    @clew.task
    def step(number: int) -> int:
        return number

    @clew.entrypoint(checkpointer=saver)
    def flow(n: int) -> int:
        for number in range(n):
            step(number).result()
        return n

    def run(thread: str) -> None:
        flow.invoke(_TASKS, {"configurable": {"thread_id": thread}})

    run("warm")
    clew_s, bare_s = _clew_and_bare(folder, lambda: run("timed"), lambda: run("noted"))
    floor = Floor("sqlite", str(folder), "")
    return floor.sequence(_TASKS, "sync") / _TASKS, bare_s / _TASKS, clew_s / _TASKS


def _memory(verb: str) -> Callable[[Path], tuple[float, float, float]]:
    def measure(folder: Path) -> tuple[float, float, float]:
        store = clew.Database(f"sqlite:///{folder / 'clew.db'}", filter_fields=["owner"], history=False).store
        for begin in range(0, _ITEMS, 1000):
            numbers = range(begin, begin + 1000)
            store.batch([clew.PutOp(namespace_of(i), str(i), value_of(i)) for i in numbers])
        spaces = [namespace_of(i * 7919 % _ITEMS) for i in range(_CALLS)]
        calls: dict[str, Callable[[int, str], Any]] = {
            "put": lambda i, name: store.put(spaces[i], f"{name}{i}", value_of(i)),
            "get": lambda i, name: store.get(spaces[i], str(i * 7919 % _ITEMS)),
            "page": lambda i, name: store.search(spaces[i], limit=10),
        }
        call = calls[verb]

        def every(name: str) -> None:
            for i in range(_CALLS):
                call(i, name)

        every("warm")
        clew_s, bare_s = _clew_and_bare(folder, lambda: every("timed"), lambda: every("noted"))
        floor = Floor("sqlite", str(folder), "")
        method = {"put": floor.store_put, "get": floor.store_get, "page": floor.store_search}[verb]
        return method(_ITEMS), bare_s / _CALLS, clew_s / _CALLS

    return measure


def _clew_and_bare(folder: Path, timed: Callable[[], None], noted: Callable[[], None]) -> tuple[float, float]:
    """Return the seconds of some calls, and of what others like them said to the file."""
    began = time.perf_counter()
    timed()
    clew_s = time.perf_counter() - began
    for name in ("clew.db", "clew.db-wal"):
        shutil.copyfile(folder / name, folder / name.replace("clew", "bare"))
    NotingConnection.noted = said = []
    noted()
    NotingConnection.noted = None
    return clew_s, _said_again(folder / "bare.db", said)


def _said_again(file: Path, said: Sequence[Said]) -> float:
    """Return the seconds that a file takes to hear it all."""
    connection = sqlite3.connect(file, isolation_level=None, cached_statements=256)
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    began = time.perf_counter()
    for sql, parameters in said:
        connection.execute(sql, parameters).fetchall()
    return time.perf_counter() - began


_CASES: dict[str, Callable[[Path], tuple[float, float, float]]] = {
    "a recorded task": _task,
    f"put, in namespaces of {PER_NAMESPACE}": _memory("put"),
    "get": _memory("get"),
    "the newest ten of a namespace": _memory("page"),
}

if __name__ == "__main__":
    main()
