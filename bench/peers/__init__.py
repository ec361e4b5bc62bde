"""The systems under measurement, by name, and what was installed of them."""

from __future__ import annotations

import importlib.metadata
import sqlite3
import sys

from bench.peers.base import Peer
from bench.peers.clew import Clew
from bench.peers.dbos import Dbos
from bench.peers.floor import Floor
from bench.peers.langgraph import LangGraph

PEERS: dict[str, type[Peer]] = {"clew": Clew, "langgraph": LangGraph, "dbos": Dbos, "floor": Floor}
_DISTRIBUTIONS = ("clew", "langgraph", "langgraph-checkpoint-sqlite", "langgraph-checkpoint-postgres", "dbos")


def versions() -> dict[str, str]:
    """Return the versions of what is measured."""
    found = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "from source"
    return {**found, "python": sys.version.split()[0], "sqlite": sqlite3.sqlite_version}
