"""Long-term memory under measurement: some namespaces of 100 items each, and one operation on one of them."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable
from typing import Any

PER_NAMESPACE = 100
_TIMES = 200


def value_of(number: int) -> dict[str, Any]:
    """Return the memory of that number."""
    return {"text": f"memory {number} about topic {number % 17}", "kind": f"kind{number % 10}", "rank": number}


def namespace_of(number: int) -> tuple[str, str]:
    """Return whose memory it is."""
    return ("memories", f"user{number // PER_NAMESPACE}")


def per_call(call: Callable[[int], Any], times: int = _TIMES) -> float:
    """Return the median seconds of a call, which gets its number."""
    call(0)
    figures = []
    for number in range(1, times + 1):
        began = time.perf_counter()
        call(number)
        figures.append(time.perf_counter() - began)
    return sorted(figures)[len(figures) // 2]


class Memories:
    """What Clew and LangGraph share: the same verbs."""

    file: str

    def _store(self, n: int) -> Any:
        raise NotImplementedError

    def store_get(self, n: int) -> float:
        store = self._store(n)
        return per_call(lambda i: store.get(namespace_of(i * 7 % n), str(i * 7 % n)))

    def store_put(self, n: int) -> float:
        store = self._store(n)
        return per_call(lambda i: store.put(namespace_of(i * 7 % n), f"new{i}", value_of(i)))

    def store_list(self, n: int) -> float:
        store = self._store(n)
        return per_call(lambda i: store.search(namespace_of(i * 7 % n)))

    def store_search(self, n: int) -> float:
        store = self._store(n)
        return per_call(lambda i: store.search(namespace_of(i * 7 % n), query=f"topic {i % 17}"))

    def store_filter(self, n: int) -> float:
        store = self._store(n)
        return per_call(lambda i: store.search(namespace_of(i * 7 % n), filter={"kind": f"kind{i % 10}"}))

    def store_namespaces(self, n: int) -> float:
        store = self._store(n)
        return per_call(lambda i: store.list_namespaces(prefix=("memories",), limit=10), 20)


class ClewMemories(Memories):
    def _store(self, n: int) -> Any:
        import clew

        store = clew.Database(f"sqlite:///{self.file}").store
        for begin in range(0, n, 1000):
            numbers = range(begin, min(begin + 1000, n))
            store.batch([clew.PutOp(namespace_of(i), str(i), value_of(i)) for i in numbers])
        return store


class LangGraphMemories(Memories):
    def _store(self, n: int) -> Any:
        from langgraph.store.base import PutOp
        from langgraph.store.sqlite import SqliteStore

        connection = sqlite3.connect(self.file, check_same_thread=False, isolation_level=None)
        store = SqliteStore(connection)
        store.setup()
        for begin in range(0, n, 1000):
            numbers = range(begin, min(begin + 1000, n))
            store.batch([PutOp(namespace_of(i), str(i), value_of(i)) for i in numbers])
        return store


class FloorMemories:
    """A table with an index, and the same answers."""

    file: str

    def _table(self, n: int) -> sqlite3.Connection:
        is_new = not os.path.exists(self.file)
        connection = sqlite3.connect(self.file, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        if is_new:
            connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, space, key, value, UNIQUE (space, key))")
            connection.execute("BEGIN")
            rows = [("/".join(namespace_of(i)), str(i), json.dumps(value_of(i))) for i in range(n)]
            connection.executemany("INSERT INTO items (space, key, value) VALUES (?, ?, ?)", rows)
            connection.execute("COMMIT")
        return connection

    def store_get(self, n: int) -> float:
        table, query = self._table(n), "SELECT value FROM items WHERE space = ? AND key = ?"
        return per_call(
            lambda i: json.loads(
                table.execute(query, ("/".join(namespace_of(i * 7 % n)), str(i * 7 % n))).fetchone()[0]
            )
        )

    def store_put(self, n: int) -> float:
        table, insert = self._table(n), "INSERT OR REPLACE INTO items (space, key, value) VALUES (?, ?, ?)"
        return per_call(
            lambda i: table.execute(insert, ("/".join(namespace_of(i * 7 % n)), f"new{i}", json.dumps(value_of(i))))
        )

    def store_list(self, n: int) -> float:
        table, query = self._table(n), "SELECT value FROM items WHERE space = ? ORDER BY id DESC LIMIT 10"
        return per_call(
            lambda i: [json.loads(row[0]) for row in table.execute(query, ("/".join(namespace_of(i * 7 % n)),))]
        )

    def store_filter(self, n: int) -> float:
        table = self._table(n)
        query = "SELECT value FROM items WHERE space = ? AND value ->> '$.kind' = ? ORDER BY id DESC LIMIT 10"
        return per_call(
            lambda i: [
                json.loads(row[0]) for row in table.execute(query, ("/".join(namespace_of(i * 7 % n)), f"kind{i % 10}"))
            ]
        )
