"""Opens connections to a SQLite file, all alike. It knows nothing of who uses them for what."""

from __future__ import annotations

import os
import sqlite3
import threading
from typing import Any

from clew.storage.sqlite.failing import BUSY_TIMEOUT_S

_PATIENT = f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000:.0f}"
_PAGE_SIZE_BYTES = 4096  # what a turn writes to the log is pages: larger ones double it


class Connection(sqlite3.Connection):
    """A connection that can be weakly referenced, so that those of ended OS threads are forgotten."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.in_use = threading.RLock()
        self.is_patient = True

    def wait_for_others(self, patience: bool) -> None:
        """Let statements from now on wait for other processes that write, or fail at once.

        Args:
            patience: whether to wait.
        """
        if patience is not self.is_patient:
            self.is_patient = False  # as long as nobody knows
            self.execute(_PATIENT if patience else "PRAGMA busy_timeout=0")
            self.is_patient = patience


def connect(path: str, synchronous: str) -> Connection:
    """Open a connection; ":memory:" is a database of its own.

    Raises:
        sqlite3.Error: the file cannot be opened, or is none of SQLite's.
    """
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=256,
        factory=Connection,
    )  # fmt: skip
    try:
        if path != ":memory:":
            connection.execute(f"PRAGMA page_size={_PAGE_SIZE_BYTES}")
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def file_id(path: str) -> tuple[int, int]:
    """Name a file however its path is written."""
    found = os.stat(path)
    return found.st_dev, found.st_ino
