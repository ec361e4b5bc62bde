"""A PgBouncer that hands server sessions on after each transaction, before a server for tests."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

SESSIONS = 2
_PATIENCE_S = 10.0
_SETTINGS = """
[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
"""


def is_installed() -> bool:
    """Say whether there is a PgBouncer on this machine."""
    return shutil.which("pgbouncer") is not None


@contextmanager
def pooler(address: str, folder: Path) -> Iterator[str]:
    """Give the address of a server by way of a pooler, for the length of a block.

    Args:
        address: of the server, reached by a socket or without a password.
        folder: for the pooler's settings.
    """
    said = psycopg.conninfo.conninfo_to_dict(address)
    server = {name: said[name] for name in ("host", "port", "user", "password") if said.get(name)}
    port, settings = _free_port(), folder / "pgbouncer.ini"
    settings.write_text(
        _SETTINGS.format(server=psycopg.conninfo.make_conninfo("", **server), port=port, sessions=SESSIONS)
    )
    command = ["pgbouncer", "-q", *_as_whom(str(said.get("host", ""))), str(settings)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"postgresql://clew@127.0.0.1:{port}/{said['dbname']}"
        finally:
            process.terminate()


def _as_whom(socket_folder: str) -> list[str]:
    """Give the option that names a user, for PgBouncer refuses to be root: whoever owns the server's socket."""
    if os.geteuid() != 0:
        return []
    owner = os.stat(socket_folder).st_uid if os.path.isdir(socket_folder) else 0
    return ["-u", pwd.getpwuid(owner).pw_name if owner else "nobody"]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(port: int) -> None:
    until_s = time.monotonic() + _PATIENCE_S
    while True:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < until_s, "PgBouncer does not answer"
        time.sleep(0.02)
