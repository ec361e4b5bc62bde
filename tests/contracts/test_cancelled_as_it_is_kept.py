"""A cancellation that comes while something is being kept comes out of that call, and not out of what follows."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from clew import Database, entrypoint, task
from support.colours import thread
from support.postgres import fresh_schema

_SOON_S = 0.05


@pytest.fixture(params=["sqlite", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Database, Callable[[], Any]]]:
    """A database, and what keeps everybody from writing to it until the block is left."""
    if request.param == "sqlite":
        with Database(f"sqlite:///{tmp_path / 'kept.db'}") as database:
            yield database, lambda: locked_file(tmp_path / "kept.db")
        return
    given = request.getfixturevalue("postgres")
    with fresh_schema(given) as schema, Database(f"{given}{'&' if '?' in given else '?'}schema={schema}") as database:
        yield database, lambda: locked_tables(given, schema)


@contextlib.contextmanager
def locked_file(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextlib.contextmanager
def locked_tables(address: str, schema: str) -> Iterator[None]:
    with psycopg.connect(address) as other:
        tables = ", ".join(f"{schema}.{name}" for name in ("clew_items", "clew_records", "clew_threads", "clew_runs"))
        other.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE".encode())
        yield
        other.rollback()


@contextlib.asynccontextmanager
async def cut_off(lock: Callable[[], AbstractContextManager[None]]) -> AsyncIterator[None]:
    """Let a block take too long, and let it go on then; what comes after it goes on, too."""
    opened = contextlib.ExitStack()
    opened.enter_context(lock())
    asyncio.get_running_loop().call_later(3 * _SOON_S, opened.close)
    begun_s = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(_SOON_S):
            yield
    assert time.monotonic() - begun_s > 2 * _SOON_S  # what was begun is never given up
    await asyncio.sleep(0.01)
    here = asyncio.current_task()
    assert here is not None
    assert not here.cancelling()


def test_of_a_memory(kept: tuple[Database, Callable[[], Any]]) -> None:
    database, lock = kept

    async def main() -> None:
        await database.store.aput(("a",), "key", {"n": 0})
        async with cut_off(lock):
            await database.store.aput(("a",), "key", {"n": 1})
        async with cut_off(lock):
            await database.store.adelete_namespace(("a",))
        assert await database.store.aget(("a",), "key") is None

    asyncio.run(main())


def test_of_an_awaited_task(kept: tuple[Database, Callable[[], Any]]) -> None:
    database, lock = kept
    ran: list[int] = []

    @task
    async def note(number: int) -> int:
        ran.append(number)
        return number

    @entrypoint(database=database)
    async def flow(start: int) -> int:
        total = await note(1)
        async with cut_off(lock):
            total += await note(2)
        return total + await note(3)

    async def main() -> None:
        assert await flow.ainvoke(0, thread("a")) == 4
        assert await flow.ainvoke(None, thread("a")) == 4
        assert ran == [1, 2, 3]

    asyncio.run(main())


def test_of_a_state(kept: tuple[Database, Callable[[], Any]]) -> None:
    database, lock = kept

    @entrypoint(database=database)
    async def flow(start: int) -> int:
        return start

    async def main() -> None:
        await flow.ainvoke(1, thread("a"))
        async with cut_off(lock):
            await flow.aupdate_state(thread("a"), 7)
        assert (await flow.aget_state(thread("a"))).values == 7
        async with cut_off(lock):
            await flow.ainvoke(2, thread("a"))

    asyncio.run(main())
