"""Long-term memory under measurement: namespaces of 100 items each, and one operation on one of them."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from typing import Any

PER_NAMESPACE = 100
_TIMES = 200
_STRIDE = 7919  # a prime: walks over all items without an order


def value_of(number: int) -> dict[str, Any]:
    """Return the memory of that number; "owner" has about ten each."""
    return {"text": f"memory {number} about topic {number % 17}", "owner": f"owner{number // 10}", "rank": number}


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


def filled(file: str, system: str, n: int, fill: Callable[[], None]) -> None:
    """Fill a file with n items, or copy it from where an earlier case of the same bench left one."""
    folder = os.environ.get("BENCH_KEPT", "")
    kept = os.path.join(folder, f"{system}-{n}.db")
    if folder and os.path.exists(kept):
        shutil.copyfile(kept, file)
        return
    fill()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    if folder:
        shutil.copyfile(file, kept)


class Memories:
    """What Clew and LangGraph share: the same verbs."""

    file: str

    def _opened(self) -> Any:
        raise NotImplementedError

    def _put_op(self, number: int) -> Any:
        raise NotImplementedError

    def _store(self, n: int) -> Any:
        def fill() -> None:
            store = self._opened()
            for begin in range(0, n, 1000):
                store.batch([self._put_op(i) for i in range(begin, min(begin + 1000, n))])

        filled(self.file, type(self).__name__, n, fill)
        return self._opened()

    def store_get(self, n: int) -> float:
        store = self._store(n)
        return per_call(lambda i: store.get(namespace_of(i * _STRIDE % n), str(i * _STRIDE % n)))

    def store_put(self, n: int) -> float:
        store = self._store(n)
        return per_call(lambda i: store.put(namespace_of(i * _STRIDE % n), f"new{i}", value_of(i)))

    def store_search(self, n: int) -> float:
        store = self._store(n)
        return per_call(lambda i: store.search(namespace_of(i * _STRIDE % n)))

    def store_list(self, n: int) -> float:
        store = self._store(n)
        return per_call(lambda i: store.search(("memories",)), 20)

    def store_filter(self, n: int) -> float:
        store = self._store(n)
        return per_call(lambda i: store.search(("memories",), filter={"owner": f"owner{i * _STRIDE % n // 10}"}), 20)

    def store_namespaces(self, n: int) -> float:
        store = self._store(n)
        return per_call(lambda i: store.list_namespaces(prefix=("memories",), limit=10), 20)


class ClewMemories(Memories):
    def _opened(self) -> Any:
        import clew

        return clew.Database(f"sqlite:///{self.file}", filter_fields=["owner"], history=False).store

    def _put_op(self, number: int) -> Any:
        from clew import PutOp

        return PutOp(namespace_of(number), str(number), value_of(number))

    def store_words(self, n: int) -> float:
        store = self._store(n)
        return per_call(lambda i: store.search(namespace_of(i * _STRIDE % n), query=f"memory topic {i % 17}"), 50)


class LangGraphMemories(Memories):
    def _opened(self) -> Any:
        from langgraph.store.sqlite import SqliteStore

        connection = sqlite3.connect(self.file, check_same_thread=False, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        store = SqliteStore(connection)
        store.setup()
        return store

    def _put_op(self, number: int) -> Any:
        from langgraph.store.base import PutOp

        return PutOp(namespace_of(number), str(number), value_of(number))


class FloorMemories:
    """A table with two indexes, and the same answers."""

    file: str

    def _rows(self, n: int) -> Callable[..., list[tuple[Any, ...]]]:
        filled(self.file, "Floor", n, lambda: self._fill(n))
        connection = sqlite3.connect(self.file, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        return lambda query, *values: connection.execute(query, values).fetchall()

    def _fill(self, n: int) -> None:
        rows = (("/".join(namespace_of(i)), str(i), value_of(i)["owner"], json.dumps(value_of(i))) for i in range(n))
        with sqlite3.connect(self.file) as connection:
            connection.execute(
                "CREATE TABLE items (id INTEGER PRIMARY KEY, space, key, owner, value, UNIQUE (space, key))"
            )
            connection.execute("CREATE INDEX items_owner ON items (owner)")
            connection.execute("CREATE INDEX items_space ON items (space, id)")
            connection.executemany("INSERT INTO items (space, key, owner, value) VALUES (?, ?, ?, ?)", rows)
        connection.close()

    def store_get(self, n: int) -> float:
        rows, query = self._rows(n), "SELECT value FROM items WHERE space = ? AND key = ?"
        return per_call(
            lambda i: json.loads(rows(query, "/".join(namespace_of(i * _STRIDE % n)), str(i * _STRIDE % n))[0][0])
        )

    def store_put(self, n: int) -> float:
        rows, insert = self._rows(n), "INSERT OR REPLACE INTO items (space, key, owner, value) VALUES (?, ?, ?, ?)"
        return per_call(
            lambda i: rows(insert, "/".join(namespace_of(i * _STRIDE % n)), f"new{i}", "", json.dumps(value_of(i)))
        )

    def store_search(self, n: int) -> float:
        rows, query = self._rows(n), "SELECT value FROM items WHERE space = ? ORDER BY id DESC LIMIT 10"
        return per_call(lambda i: [json.loads(v) for (v,) in rows(query, "/".join(namespace_of(i * _STRIDE % n)))])

    def store_list(self, n: int) -> float:
        rows, query = self._rows(n), "SELECT value FROM items ORDER BY id DESC LIMIT 10"
        return per_call(lambda i: [json.loads(v) for (v,) in rows(query)])

    def store_filter(self, n: int) -> float:
        rows, query = self._rows(n), "SELECT value FROM items WHERE owner = ? ORDER BY id DESC LIMIT 10"
        return per_call(lambda i: [json.loads(v) for (v,) in rows(query, f"owner{i * _STRIDE % n // 10}")])

    def store_namespaces(self, n: int) -> float:
        rows = self._rows(n)
        query = (  # a loose index scan: from one namespace to the next
            "WITH RECURSIVE found (space) AS (SELECT min(space) FROM items UNION ALL "
            "SELECT (SELECT min(items.space) FROM items WHERE items.space > found.space) FROM found "
            "WHERE found.space IS NOT NULL LIMIT 10) SELECT space FROM found"
        )
        return per_call(lambda i: rows(query))
