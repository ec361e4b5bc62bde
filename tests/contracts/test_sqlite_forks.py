"""A process that forks while it uses a SQLite file: parent and child go on with it, and lose nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from clew import Database
from clew.storage.sqlite.database import SqliteDatabase
from support.colours import PATIENCE_S

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # of a process with several OS threads
]


def forked(child: Callable[[], object]) -> int:
    """Run a function in a child, and give the number of that process."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.alarm(int(PATIENCE_S))
        child()
        code = 0
    finally:
        os._exit(code)


def succeeded(pid: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_what_a_child_writes_is_kept_when_its_parent_closes_the_file(tmp_path: Path) -> None:
    database = Database(tmp_path / "app.db")
    database.store.put(("parent",), "k", {})
    assert database.store.get(("parent",), "k")
    (is_ready, ready), (may_go_on, go_on) = os.pipe(), os.pipe()

    def child() -> None:
        database.store.put(("child",), "early", {})
        os.write(ready, b".")
        os.read(may_go_on, 1)
        database.store.put(("child",), "late", {})
        assert len(database.store.search(("child",))) == 2

    pid = forked(child)
    os.read(is_ready, 1)
    database.close()
    with Database(tmp_path / "app.db") as another:
        another.store.put(("another",), "k", {})
    os.write(go_on, b".")
    assert succeeded(pid)
    with Database(tmp_path / "app.db") as again:
        assert {item.key for item in again.store.search(("child",))} == {"early", "late"}
        assert again.store.get(("another",), "k")
    for end in (is_ready, ready, may_go_on, go_on):
        os.close(end)


def test_a_child_can_write_though_others_wrote_and_read_when_it_was_forked(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "app.db")
    database.write(lambda connection: connection.execute("CREATE TABLE t (n)"))
    over = threading.Event()
    at_work = [threading.Event(), threading.Event()]

    def busy(which: int) -> Callable[[sqlite3.Connection], list[tuple[int]]]:
        def work(connection: sqlite3.Connection) -> list[tuple[int]]:
            at_work[which].set()
            over.wait(PATIENCE_S)
            if which:
                connection.execute("INSERT INTO t VALUES (1)")
            return connection.execute("SELECT n FROM t").fetchall()

        return work

    others = [
        threading.Thread(target=database.read, args=(busy(0),)),
        threading.Thread(target=database.write, args=(busy(1),)),
    ]
    for other in others:
        other.start()
    assert all(each.wait(PATIENCE_S) for each in at_work)
    threading.Timer(0.05, over.set).start()
    pid = forked(lambda: database.write(lambda connection: connection.execute("INSERT INTO t VALUES (2)")))
    assert over.is_set()  # the fork waited for them
    database.write(lambda connection: connection.execute("INSERT INTO t VALUES (3)"))
    assert succeeded(pid)
    for other in others:
        other.join(PATIENCE_S)
    assert sorted(database.read(lambda connection: connection.execute("SELECT n FROM t").fetchall())) == [
        (1,), (2,), (3,),
    ]  # fmt: skip
    database.close()


def test_os_threads_that_come_back_at_once_after_a_fork_open_one_writer(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "app.db")
    with database.paused():
        pass
    found: list[sqlite3.Connection] = []
    together = threading.Barrier(8)

    def come_back() -> None:
        together.wait(PATIENCE_S)
        found.append(database._connect_writer())

    others = [threading.Thread(target=come_back) for _ in range(8)]
    for other in others:
        other.start()
    for other in others:
        other.join(PATIENCE_S)
    assert len(found) == 8
    assert len({id(connection) for connection in found}) == 1  # one that nobody knows would be open across a fork
    database.close()
