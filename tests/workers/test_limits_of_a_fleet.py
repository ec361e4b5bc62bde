"""Limits of a workflow hold for all worker processes on a database together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from clew import PostgresSaver, SqliteSaver, entrypoint
from support.colours import PATIENCE_S, thread
from support.working import eventually

APP = """
import asyncio, os, time
from pathlib import Path
from clew import PostgresSaver, SqliteSaver, entrypoint

HERE = Path(__file__).parent
saver = {saver}


def note(line):
    with open(HERE / "seen.txt", "a") as file:
        file.write(line + "\\n")


@entrypoint(checkpointer=saver)
def order(x):
    note(f"{{time.monotonic()}} begins {{os.getpid()}}")
    time.sleep(0.05)
    note(f"{{time.monotonic()}} ends {{os.getpid()}}")


@entrypoint(checkpointer=saver)
def stuck(x):
    note(f"stuck {{os.getpid()}}")
    while not (HERE / "go").exists():
        time.sleep(0.01)


@entrypoint(checkpointer=saver)
def urgent(x):
    return x


every = [order, stuck, urgent]
"""

CLEW = "import sys; from clew.cli import main; sys.exit(main())"


class Shop:
    """A program of some workflows, and its workers."""

    def __init__(self, folder: Path, saver: str) -> None:
        self._folder = folder
        self._made: Any = eval(saver, {"HERE": folder, "SqliteSaver": SqliteSaver, "PostgresSaver": PostgresSaver})
        (folder / "app.py").write_text(APP.format(saver=saver), encoding="utf-8")

        def stands_for(x: int) -> None: ...

        self.order, self.stuck, self.urgent = (
            entrypoint(checkpointer=self._made, name=name)(stands_for) for name in ("order", "stuck", "urgent")
        )

    @contextlib.contextmanager
    def workers(self, count: int, *options: str, lease_s: float = 30) -> Generator[list[subprocess.Popen[bytes]]]:
        """Start workers that look by themselves often."""
        command = [sys.executable, "-W", "error", "-c", CLEW, "worker", "app.py:every", "--poll", "0.05", *options]
        environment = {**os.environ, "CLEW_LEASE_S": str(lease_s)}
        logs = [self._folder / f"worker-{number}.log" for number in range(count)]
        begun = []
        for path in logs:
            with path.open("wb") as log:
                begun.append(subprocess.Popen(command, cwd=self._folder, env=environment, stderr=log))
        try:
            eventually(lambda: all(b"carries out" in path.read_bytes() for path in logs))
            yield begun
        finally:
            for worker in begun:
                worker.kill()
                worker.wait()

    def seen(self) -> list[list[str]]:
        path = self._folder / "seen.txt"
        return [line.split() for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def let_go(self) -> None:
        (self._folder / "go").touch()

    def close(self) -> None:
        self._made.close()


@pytest.fixture(params=["sqlite", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    saver = 'SqliteSaver(HERE / "app.db")'
    if request.param == "postgres":
        postgres, schema = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_schema")
        saver = f"PostgresSaver({postgres!r}, schema={schema!r})"
    with contextlib.closing(Shop(tmp_path, saver)) as made:
        yield made


def test_no_more_run_side_by_side_than_allowed_whoever_carries_them_out(shop: Shop) -> None:
    with shop.workers(3, "--limit", "order=2", "--concurrency", "1"):
        for handle in [shop.order.submit(x, thread(str(x))) for x in range(24)]:
            handle.result(PATIENCE_S)
    lines = sorted((float(at_s), what) for at_s, what, _ in shop.seen())
    under_way, most = 0, 0
    for _, what in lines:
        under_way += 1 if what == "begins" else -1
        most = max(most, under_way)
    assert most == 2
    assert len(lines) == 2 * 24
    assert len({pid for *_, pid in shop.seen()}) > 1


def test_no_more_begin_in_a_while_than_allowed_whoever_begins_them(shop: Shop) -> None:
    rate = 4
    with shop.workers(3, "--limit", f"order={rate}/s"):
        for handle in [shop.order.submit(x, thread(str(x))) for x in range(13)]:
            handle.result(PATIENCE_S)
    begun_s = sorted(float(at_s) for at_s, what, _ in shop.seen() if what == "begins")
    # From when it may begin to when it does takes a moment, on a busy machine a long one: hence not a whole second.
    assert all(later - first > 0.4 for first, later in zip(begun_s, begun_s[rate:], strict=False))


def test_others_are_carried_out_while_a_workflow_is_at_its_limit(shop: Shop) -> None:
    stuck = [shop.stuck.submit(x, thread(str(x)), priority=9) for x in range(30)]
    with shop.workers(2, "--limit", "stuck=1", "--concurrency", "2"):
        eventually(lambda: len(shop.seen()) == 1)
        for x in range(10):
            assert shop.urgent.submit(x, thread(f"urgent {x}")).result(PATIENCE_S) == x
        assert len(shop.seen()) == 1
        shop.let_go()
        for handle in stuck:
            handle.result(PATIENCE_S)


def test_a_killed_worker_frees_its_places(shop: Shop) -> None:
    handles = [shop.stuck.submit(x, thread(str(x))) for x in range(3)]
    with shop.workers(1, "--limit", "stuck=2") as (first,):
        eventually(lambda: len(shop.seen()) == 2)
        first.kill()
        first.wait()
    shop.let_go()
    with shop.workers(1, "--limit", "stuck=2"):
        for handle in handles:
            handle.result(PATIENCE_S)


def test_a_frozen_worker_frees_its_places_when_its_leases_run_out(shop: Shop) -> None:
    shop.stuck.submit(0, thread("0"))
    with shop.workers(1, "--limit", "stuck=1", lease_s=1.5) as (frozen,):
        eventually(lambda: len(shop.seen()) == 1)
        frozen.send_signal(signal.SIGSTOP)
        with shop.workers(1, "--limit", "stuck=1", lease_s=1.5):
            later = shop.stuck.submit(1, thread("1"))
            shop.let_go()
            later.result(PATIENCE_S)
        frozen.send_signal(signal.SIGCONT)
