"""SQLite's errors as clew's, in this one place."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Generator

from clew.errors import ClewError, SchemaMismatch, StorageError, Unavailable

BUSY_TIMEOUT_S = 30.0  # for how long a connection waits for another process


@contextlib.contextmanager
def errors(path: str) -> Generator[None]:
    """Map the errors of a block, with the cause kept."""
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, path) from error


def translated(error: sqlite3.Error, path: str) -> ClewError:
    """Return an error of SQLite as one of ours."""
    text, name = str(error), getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_NOTADB"):
        return SchemaMismatch(f"{path!r} is not a SQLite database ({text}); choose another file")
    if name.startswith("SQLITE_CORRUPT"):
        return Unavailable(f"the database {path!r} is damaged ({text}); restore it from a copy")
    if name.startswith("SQLITE_READONLY"):
        return Unavailable(f"the database {path!r} is read-only ({text}); make the file and its folder writable")
    if name.startswith("SQLITE_CANTOPEN"):
        folder = os.path.dirname(os.path.realpath(path))
        why = "" if os.path.isdir(folder) else f": the folder {folder!r} does not exist"
        return Unavailable(f"cannot open the database {path!r}{why} ({text})")
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return Unavailable(f"cannot write the database {path!r} ({text}); nothing of this write was kept: free space")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Unavailable(f"another process has kept {path!r} locked for {BUSY_TIMEOUT_S:.0f} s ({text}); try again")
    if isinstance(error, sqlite3.ProgrammingError):
        return Unavailable(f"the database {path!r} was closed ({text}); open a new Database")
    return StorageError(f"{path!r}: {text}")
