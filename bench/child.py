"""Run one case for one system in this process, and print its figure as a line of JSON."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

from bench.cases import CASES
from bench.peers import PEERS


def main(case_name: str, system: str, folder: str) -> None:
    """Measure.

    Args:
        case_name: one of CASES.
        system: one of PEERS.
        folder: where files may be made; for "disk" a folder on a disk.
    """
    case = next(case for case in CASES if case.name == case_name)
    server = os.environ.get("BENCH_POSTGRES", "")
    with tempfile.TemporaryDirectory(dir=folder) as place, _database(server, case.where) as address:
        peer = PEERS[system](case.where, place, address)
        figure = None
        if hasattr(peer, case.method) and peer.can(case.where):
            gc.collect()
            figure = getattr(peer, case.method)(**case.arguments)
        print(json.dumps({"figure": None if figure is None else figure * case.scale}), flush=True)
        if case.where == "postgres":
            os._exit(0)  # what other systems leave open would keep this process; the server outlives it


@contextlib.contextmanager
def _database(server: str, where: str) -> Iterator[str]:
    """Give the address of a fresh database on the server, where one is needed."""
    if where != "postgres" or not server:
        yield ""
        return
    import psycopg

    name = f"bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]  # a name of our own
    yield urlsplit(server)._replace(path=f"/{name}").geturl()


if __name__ == "__main__":
    main(*sys.argv[1:4])
