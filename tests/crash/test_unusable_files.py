"""The disk is full, the folder is read-only, the file is gone: a clear error, nothing damaged, and it can go on."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clew import Database
from clew.errors import Unavailable
from support.colours import Colour, result, thread
from support.processes import start

COUNTED = """
import asyncio, os, resource
from pathlib import Path

FILE = Path({file!r})
IS_ASYNC = {is_async}
database = Database(FILE)

def done(line):
    with open({done!r}, "a") as file:
        file.write(line + "\\n")

@task
def write(n):
    done(f"write {{n}}")
    return os.urandom(10_000).hex()

@task
def remember(n):
    get_store().put(("told",), "last", {{"n": n}})

@entrypoint(database=database)
def blocking(pages):
    return sum(len(write(n).result()) + (remember(n).result() or 0) for n in range(pages))

@entrypoint(database=database)
async def waiting(pages):
    found = [len(await write(n)) + (await remember(n) or 0) for n in range(pages)]
    return sum(found)

def run(input):
    if IS_ASYNC:
        return asyncio.run(waiting.ainvoke(input, THREAD))
    return blocking.invoke(input, THREAD)

def fill_the_disk():
    limit = FILE.with_name("app.db-wal").stat().st_size + 250_000  # the tables are not made yet, and take most of it
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

def free_space():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def intact(file: Path) -> bool:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("is_async", [False, True], ids=["blocking", "async"])
def test_a_full_disk_is_a_clear_error_and_work_goes_on_once_there_is_space(is_async: bool, tmp_path: Path) -> None:
    file, done = tmp_path / "app.db", tmp_path / "done.txt"
    then = """
fill_the_disk()
for _ in range(2):
    try:
        run(20)
        say("it fitted")
    except errors.Unavailable as error:
        say(str(error))
hear()
free_space()
say(str(run(None)))
"""
    with start(COUNTED.format(file=str(file), done=str(done), is_async=is_async) + then) as process:
        said = [process.next_line() for _ in range(2)]
        assert all(f"cannot write the database '{file}'" in line and "free space" in line for line in said), said
        assert intact(file)
        process.say("go on")
        process.hears(str(20 * 20_000))
        process.ends_well()
    assert intact(file)
    acts = done.read_text().splitlines()
    assert sorted(set(acts)) == sorted(f"write {n}" for n in range(20))
    with Database(file) as database:
        item = database.store.get(("told",), "last")
        assert item is not None
        assert (item.value, item.version) == ({"n": 19}, 20)


def counted(database: Database, colour: Colour) -> Callable[[Any], Any]:
    """Return what calls a workflow that adds its input to what it returned before."""

    @colour.task
    async def same(x: int) -> int:
        return x

    @colour.entrypoint(database=database, name="flow")
    async def flow(x: int, *, previous: Any = None) -> list[int]:
        return [*(previous or []), await result(same(x))]

    return lambda x: colour.invoke(flow, x, thread())


def put(database: Database, is_async: bool) -> None:
    if is_async:
        asyncio.run(database.store.aput(("m",), "k", {"n": 1}))
    else:
        database.store.put(("m",), "k", {"n": 1})


def remove(file: Path) -> None:
    for end in ("", "-wal", "-shm"):
        file.with_name(file.name + end).unlink(missing_ok=True)


def test_a_file_that_is_deleted_under_way_is_not_written_to(tmp_path: Path, colour: Colour) -> None:
    file = tmp_path / "app.db"
    with Database(file) as database:
        call = counted(database, colour)
        call(1)
        remove(file)
        with pytest.raises(Unavailable, match="deleted or replaced while it was open; nothing of this was kept"):
            call(2)
        with pytest.raises(Unavailable, match="deleted or replaced"):
            put(database, colour.workflow_is_async)
    assert not file.exists()


def test_a_file_that_is_replaced_under_way_is_left_to_its_owner(tmp_path: Path, colour: Colour) -> None:
    file, other = tmp_path / "app.db", tmp_path / "other.db"
    with Database(other) as database:
        counted(database, colour)(7)
    with Database(file) as database:
        call = counted(database, colour)
        call(1)
        remove(file)
        other.rename(file)
        with pytest.raises(Unavailable, match="deleted or replaced"):
            call(2)
    with Database(file) as database:
        assert counted(database, colour)(8) == [7, 8]
    assert intact(file)


def test_a_relative_path_means_the_same_file_wherever_the_process_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colour: Colour
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with Database("app.db") as database:
        counted(database, colour)(1)
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert counted(database, colour)(2) == [1, 2]
        put(database, is_async=True)  # on an OS thread with a connection of its own
    assert list((tmp_path / "elsewhere").iterdir()) == []


READ_ONLY = """
import os, sys
from clew import Database, entrypoint, errors

def run(path):
    with Database(path) as database:
        @entrypoint(database=database)
        def flow(x):
            return x

        flow.invoke(1, {"configurable": {"thread_id": "1"}})

if os.geteuid() == 0:
    run(sys.argv[2])  # loads whatever is needed, for nobody else may read it here
    os.setuid(65534)  # nothing is read-only for root
try:
    run(sys.argv[1])
    print("written")
except errors.Unavailable as error:
    print(error)
"""


@pytest.mark.parametrize("is_there", [True, False], ids=["with-a-file", "empty"])
def test_a_read_only_folder_is_a_clear_error(is_there: bool, tmp_path: Path) -> None:
    # Not in pytest's folder, into which only its owner may look.
    folder = Path(tempfile.mkdtemp(prefix="clew-read-only-"))
    try:
        file = folder / "app.db"
        if is_there:
            Database(file).close()
        before = file.read_bytes() if is_there else b""
        file.chmod(0o444) if is_there else None
        folder.chmod(0o555)
        command = [sys.executable, "-W", "error", "-c", READ_ONLY, str(file), str(tmp_path / "another.db")]
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        assert str(file) in ended.stdout
        assert ("read-only" in ended.stdout) or ("cannot open" in ended.stdout)
        assert (file.read_bytes() if file.exists() else b"") == before
        assert sorted(os.listdir(folder)) == (["app.db"] if is_there else [])
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
