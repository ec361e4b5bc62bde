"""`clew worker` as processes: killed, stopped, and many at once on one database."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clew import RunCancelled
from clew.errors import SetAside
from support.colours import PATIENCE_S, thread
from support.working import eventually

APP = """
import os, signal, time
from pathlib import Path
from clew import PostgresSaver, SqliteSaver, entrypoint, task

HERE = Path(__file__).parent
saver = {saver}


def note(line):
    with open(HERE / "done.txt", "a") as file:
        file.write(line + "\\n")


@task
def step(name):
    note(name)
    return name


@task
def wait():
    note("waits")
    while not (HERE / "go").exists():
        time.sleep(0.01)
    return "waited"


@entrypoint(checkpointer=saver)
def flow(x):
    return [step(f"{x} first").result(), wait().result(), step(f"{x} last").result()]


@entrypoint(checkpointer=saver)
def collect(x, *, previous=None):
    step(x).result()
    return [*(previous or []), x]


@task
async def wait_long():
    import asyncio

    note("waits")
    await asyncio.sleep(60)


@entrypoint(checkpointer=saver)
async def long(x):
    await wait_long()


@entrypoint(checkpointer=saver)
def deadly(x):
    if not (HERE / "go").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return x


every = [flow, collect, long, deadly]
"""

CLEW = "import sys; from clew.cli import main; sys.exit(main())"


class App:
    """A folder with a program, and a list of what its tasks did.

    Args:
        folder: where.
        saver: as the program makes it.
    """

    def __init__(self, folder: Path, saver: str) -> None:
        self._folder = folder
        (folder / "app.py").write_text(APP.replace("{saver}", saver), encoding="utf-8")
        spec = importlib.util.spec_from_file_location("app_of_workers", folder / "app.py")
        assert spec is not None
        assert spec.loader is not None
        self.module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)

    @property
    def done(self) -> list[str]:
        path = self._folder / "done.txt"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def let_go(self) -> None:
        (self._folder / "go").touch()

    def waits(self) -> bool:
        return "waits" in self.done

    @contextmanager
    def worker(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-W", "error", "-c", CLEW, "worker", "app.py:every", "--poll", "0.05", *options]
        process = subprocess.Popen(command, cwd=self._folder, stderr=subprocess.PIPE)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


@pytest.fixture(params=["sqlite", "postgres"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[App]:
    saver = 'SqliteSaver(HERE / "app.db")'
    if request.param == "postgres":
        postgres, schema = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_schema")
        saver = f"PostgresSaver({postgres!r}, schema={schema!r})"
    made = App(tmp_path, saver)
    yield made
    made.module.saver.close()


def test_another_worker_goes_on_with_the_run_of_a_killed_one(app: App) -> None:
    handle = app.module.flow.submit("a", thread())
    with app.worker() as first:
        eventually(app.waits)
        first.kill()
    app.let_go()
    with app.worker():
        assert handle.result(PATIENCE_S) == ["a first", "waited", "a last"]
    # The task that was under way when its process died ran again; what was recorded did not.
    assert app.done == ["a first", "waits", "waits", "a last"]


def test_a_worker_that_is_told_to_stop_lets_the_task_finish_and_hands_the_rest_over(app: App) -> None:
    handle = app.module.flow.submit("a", thread())
    with app.worker() as first:
        eventually(app.waits)
        first.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        assert first.poll() is None
        app.let_go()
        assert first.wait(PATIENCE_S) == 0
    assert handle.status() == "running"
    with app.worker():
        assert handle.result(PATIENCE_S) == ["a first", "waited", "a last"]
    assert app.done == ["a first", "waits", "a last"]


def test_the_second_signal_ends_a_worker_at_once_and_loses_nothing(app: App) -> None:
    handle = app.module.flow.submit("a", thread())
    with app.worker() as first:
        eventually(app.waits)
        first.send_signal(signal.SIGINT)
        time.sleep(0.05)
        first.send_signal(signal.SIGTERM)
        assert first.wait(PATIENCE_S) == 128 + signal.SIGTERM
    app.let_go()
    with app.worker():
        assert handle.result(PATIENCE_S) == ["a first", "waited", "a last"]


def test_a_run_of_another_process_is_cancelled(app: App) -> None:
    handle = app.module.long.submit("a", thread())
    with app.worker():
        eventually(app.waits)
        assert handle.cancel()
        with pytest.raises(RunCancelled):
            handle.result(PATIENCE_S)


def test_a_run_whose_worker_was_killed_before_it_heard_is_cancelled_by_the_next(app: App) -> None:
    handle = app.module.flow.submit("a", thread())
    with app.worker() as worker:
        eventually(app.waits)
        worker.send_signal(signal.SIGSTOP)
        assert handle.cancel()
        worker.kill()
    app.let_go()
    with app.worker(), pytest.raises(RunCancelled):
        handle.result(PATIENCE_S)
    assert app.done == ["a first", "waits"]


def test_a_run_that_kills_every_worker_is_set_aside(app: App) -> None:
    handle = app.module.deadly.submit("a", thread())
    for _ in range(2):
        with app.worker("--max-crashes", "2") as worker:
            assert worker.wait(PATIENCE_S) == -signal.SIGKILL
    with app.worker("--max-crashes", "2"), pytest.raises(SetAside, match="2 processes"):
        handle.result(PATIENCE_S)
    app.let_go()
    assert app.module.deadly.invoke(None, thread()) == "a"


def test_every_message_is_applied_once_and_in_order_while_workers_are_killed(app: App) -> None:
    threads, messages = 10, 20
    with app.worker() as first, app.worker() as second, app.worker():
        last = {}
        for number in range(messages):
            for name in map(str, range(threads)):
                last[name] = app.module.collect.submit(f"{name}:{number}", thread(name))
            if number == 5:
                first.kill()
            if number == 10:
                second.kill()
        for name, handle in last.items():
            assert handle.result(PATIENCE_S) == [f"{name}:{number}" for number in range(messages)]
    # A worker may die between doing and recording, hence not a list but a set.
    assert set(app.done) == {f"{name}:{number}" for name in range(threads) for number in range(messages)}
    assert len(app.done) <= threads * messages + 2 * 8
