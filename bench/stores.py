"""Long-term memory on PostgreSQL: operations and searches by the number of memories, in small and large namespaces.

    python -m bench.stores [--items 10000 100000 1000000] [--quick] [--systems clew langgraph bare]

Half of the memories lie in namespaces of a hundred, half in one. Each figure is the median of calls one after another,
in milliseconds. A server of its own is started, unless CLEW_BENCH_POSTGRES names one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg

from bench.__main__ import postgres
from bench.memories import PER_NAMESPACE, per_call, value_of

_AT_ONCE = 1000
_STRIDE = 7919  # a prime: walks over all memories without an order
_LARGE = ("memories", "everybody")
Case = Callable[[int], object]


def main() -> None:
    """Measure, and print a table for each size."""
    options = _options()
    with postgres() as server:
        for items in options.items:
            columns = {system: _measured(server, system, items) for system in options.systems}
            print(f"\n| {items:,} memories, ms | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
            for case in next(iter(columns.values())):
                figures = [columns[system].get(case) for system in columns]
                shown = ["\N{EN DASH}" if each is None else f"{each:.2f}" for each in figures]
                print(f"| {case} | {' | '.join(shown)} |", flush=True)


def _measured(server: str, system: str, items: int) -> dict[str, float]:
    """Return the milliseconds of each case that a system can do."""
    with _database(server) as address, contextlib.closing(_SYSTEMS[system](address)) as memories:
        began = time.perf_counter()
        for first in range(0, items, _AT_ONCE):
            memories.put_all(range(first, min(first + _AT_ONCE, items)))
        print(f"{system}: {items:,} kept in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        times = 200 if items <= 100_000 else 50
        return {name: per_call(case, times) * 1e3 for name, case in memories.cases(items).items()}


def place_of(number: int) -> tuple[tuple[str, ...], str]:
    """Return namespace and key of a memory: every second one lies in the large namespace."""
    return _LARGE if number % 2 else ("memories", f"user{number // 2 // PER_NAMESPACE}"), str(number)


class Stores:
    """What Clew and LangGraph share: the same verbs.

    Args:
        store: theirs.
        put_op: their PutOp.
    """

    def __init__(self, store: Any, put_op: Any) -> None:
        self._store, self._put_op = store, put_op

    def put_all(self, numbers: range) -> None:
        self._store.batch([self._put_op(*place_of(number), value_of(number)) for number in numbers])

    def cases(self, items: int) -> dict[str, Case]:
        store = self._store

        def small(i: int) -> tuple[str, ...]:
            return place_of(i * _STRIDE % items // 2 * 2)[0]

        def owner(i: int) -> dict[str, str]:
            return {"owner": f"owner{i * _STRIDE % items // 10}"}

        return {
            "get": lambda i: store.get(*place_of(i * _STRIDE % items)),
            "put, small namespace": lambda i: store.put(small(i), f"new{i}", value_of(i)),
            "put, large namespace": lambda i: store.put(_LARGE, f"new{i}", value_of(i)),
            "newest ten, small namespace": lambda i: store.search(small(i)),
            "newest ten, large namespace": lambda i: store.search(_LARGE),
            "newest ten of all": lambda i: store.search(("memories",)),
            "filter by equality, large namespace": lambda i: store.search(_LARGE, filter=owner(i)),
            "filter by equality, all": lambda i: store.search(("memories",), filter=owner(i)),
            "list namespaces": lambda i: store.list_namespaces(prefix=("memories",), limit=10),
        }

    def close(self) -> None:
        self._store.close()


class Clew(Stores):
    def __init__(self, address: str) -> None:
        import clew

        super().__init__(clew.PostgresStore(address, history=False, filter_fields=["owner"]), clew.PutOp)

    def cases(self, items: int) -> dict[str, Case]:
        store = self._store

        def words(i: int) -> str:
            return f"memory {i * _STRIDE % items} topic {i % 17}"

        return super().cases(items) | {
            "search by words, small namespace": lambda i: store.search(place_of(2 * i)[0], query=words(i)),
            "search by words, large namespace": lambda i: store.search(_LARGE, query=words(i)),
        }


class LangGraph(Stores):
    def __init__(self, address: str) -> None:
        from langgraph.store.base import PutOp
        from langgraph.store.postgres import PostgresStore

        self._opened = contextlib.ExitStack()
        super().__init__(self._opened.enter_context(PostgresStore.from_conn_string(address)), PutOp)
        self._store.setup()

    def close(self) -> None:
        self._opened.close()


class Bare:
    """A table with two indexes: one statement for each operation, prepared by psycopg."""

    def __init__(self, address: str) -> None:
        self._connection = psycopg.connect(address, autocommit=True)
        self._connection.execute(
            "CREATE TABLE items (id bigserial PRIMARY KEY, space text, key text, value jsonb, UNIQUE (space, key))"
        )
        self._connection.execute("CREATE INDEX items_space ON items (space, id)")
        self._connection.execute("CREATE INDEX items_owner ON items ((value ->> 'owner'))")

    def put_all(self, numbers: range) -> None:
        rows = [("/".join(space), key, json.dumps(value_of(int(key)))) for space, key in map(place_of, numbers)]
        with self._connection.cursor() as cursor:
            cursor.executemany("INSERT INTO items (space, key, value) VALUES (%s, %s, %s)", rows)

    def cases(self, items: int) -> dict[str, Case]:
        put = (
            "INSERT INTO items (space, key, value) VALUES (%s, %s, %s) ON CONFLICT (space, key) "
            "DO UPDATE SET value = excluded.value"
        )
        get = "SELECT value FROM items WHERE space = %s AND key = %s"
        newest = "SELECT value FROM items WHERE space = %s ORDER BY id DESC LIMIT 10"
        equal = "SELECT value FROM items WHERE value ->> 'owner' = %s ORDER BY id DESC LIMIT 10"

        def run(query: str, *values: object) -> list[tuple[Any, ...]]:
            cursor = self._connection.execute(query, values)  # type: ignore[arg-type]  # written above
            return cursor.fetchall() if cursor.description else []

        def place(i: int) -> tuple[str, str]:
            space, key = place_of(i * _STRIDE % items)
            return "/".join(space), key

        small, large = lambda i: place(i * 2)[0], "/".join(_LARGE)
        return {
            "get": lambda i: run(get, *place(i)),
            "put, small namespace": lambda i: run(put, small(i), f"new{i}", json.dumps(value_of(i))),
            "put, large namespace": lambda i: run(put, large, f"new{i}", json.dumps(value_of(i))),
            "newest ten, small namespace": lambda i: run(newest, small(i)),
            "newest ten, large namespace": lambda i: run(newest, large),
            "newest ten of all": lambda i: run("SELECT value FROM items ORDER BY id DESC LIMIT 10"),
            "filter by equality, all": lambda i: run(equal, f"owner{i * _STRIDE % items // 10}"),
        }

    def close(self) -> None:
        self._connection.close()


_SYSTEMS: dict[str, Callable[[str], Any]] = {"clew": Clew, "langgraph": LangGraph, "bare": Bare}


@contextlib.contextmanager
def _database(server: str) -> Iterator[str]:
    """Give the address of a fresh database on the server, dropped afterwards."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.stores", description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="how many memories")
    parser.add_argument("--quick", action="store_const", const=[1000], dest="items", help="1,000 memories alone")
    parser.add_argument("--systems", nargs="+", default=list(_SYSTEMS), choices=list(_SYSTEMS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
