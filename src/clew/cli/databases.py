"""Which database a command works on, and who makes vectors for it. A command that only reads makes no tables."""

from __future__ import annotations

import importlib.util
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clew import Database, EncryptionKeys
from clew.errors import ClewError, Unavailable, UsageError
from clew.migrating import has_tables, is_postgres
from clew.store.transactional import TransactionalStore

NO_EMBEDDER = "none"
log = logging.getLogger("clew.cli")

KEYS = "CLEW_ENCRYPTION_KEYS"
_LOCAL_IS_MISSING = "the local embedder is not installed: pip install 'clew[local]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Who makes vectors.

    Args:
        embed: as `Database` takes it; None: nobody.
        problem: why nobody does although the database has vectors.
    """

    embed: Any = None
    problem: str | None = None


def default_url() -> str:
    """Return the address of the database that `clew chat` uses when it is told of none."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return f"sqlite:///{Path(home) / 'clew' / 'chat.db'}"


def made_default_url() -> str:
    """Return the default address, of which the folder exists.

    Raises:
        Unavailable: it cannot be made.
    """
    url = default_url()
    folder = Path(url.removeprefix("sqlite:///")).parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"cannot make the folder {str(folder)!r} ({error.strerror}); choose a place by --db"
        ) from error
    return url


def existing_url(url: str | None) -> str:
    """Return an address, the default one for None, at which there is a database with tables of clew's.

    Raises:
        UsageError: there is none.
        StorageError: it cannot be read.
    """
    url = default_url() if url is None else _named(url)
    path = url.removeprefix("sqlite:///")
    if path == ":memory:":
        raise UsageError("there is no database in ':memory:', which is this process's own: name a file")
    if "://" not in path and not Path(path).is_file():
        raise UsageError(f"there is no database {path!r}; name another one")
    if is_postgres(url) and not has_tables(url):
        # Without the address: it may hold a password.
        raise UsageError(
            "the database holds nothing of clew's in this schema; ?schema=NAME after its name says another"
        )
    if "://" not in path and not has_tables(path):
        raise UsageError(f"the database {path!r} holds nothing of clew's; name another one")
    return url


def kept_url(url: str | None) -> str:
    """Return an address, the default one for None, at which a database may be made that outlives this process.

    Raises:
        UsageError: it would not.
        Unavailable: the default folder cannot be made.
    """
    if url is None:
        return made_default_url()
    if url.removeprefix("sqlite:///") == ":memory:":
        raise UsageError("':memory:' is gone when this command ends: name a file")
    return _named(url)


def _named(url: str) -> str:
    """Return an address that is one: a script's empty variable must not stand for the default database.

    Raises:
        UsageError: it is empty.
    """
    if not url.strip():
        raise UsageError("the name of the database is empty; write sqlite:///app.db, or a path")
    return url


def open_database(url: str, *, embed: Any = None, fields: list[str] | None = None) -> Database:
    """Open a database, with the encryption keys of the environment if there are any.

    Args:
        url: its address.
        embed, fields: as `Database` takes them.

    Raises:
        UsageError: the address or a key is none.
        StorageError: the database cannot be used.
    """
    log.debug("opening %s", url)
    return Database(url, embed=embed, fields=fields or None, encryption=_keys())


def _keys() -> EncryptionKeys | None:
    """Read the ring of keys: the first one encrypts, all of them decrypt.

    Raises:
        UsageError: one of them is no key.
    """
    keys = [key.strip() for key in os.environ.get(KEYS, "").split(",") if key.strip()]
    try:
        return EncryptionKeys(keys) if keys else None
    except UsageError as error:
        raise UsageError(f"{KEYS} is not understood: {error}") from error


def indexed_store(database: Database) -> TransactionalStore[Any]:
    """Return the database's store as one that knows what is indexed.

    Raises:
        UsageError: it does not.
    """
    if not isinstance(database.store, TransactionalStore):
        raise UsageError(f"the store of {database!r} keeps no index")
    return database.store


def choose_embedder(database: Database, wanted: str | None) -> Choice:
    """Choose who makes vectors: whom the person wants, else who made those of the database.

    A database that holds nothing yet gets the local ones, unless it is encrypted: vectors are not.

    Args:
        database: opened without an embedder.
        wanted: a name of an embedder, "none", or None.
    """
    status = indexed_store(database).index_status()
    models = status.other_models
    if wanted == NO_EMBEDDER:
        return Choice()
    if wanted is not None:
        return Choice(embed=_checked(wanted))
    if not models:
        return Choice(embed="local" if not status.items and not _keys() and _local_is_installed() else None)
    return _choice_for(max(models, key=lambda name: models[name]))


def _choice_for(model: str) -> Choice:
    """Choose who makes vectors of a model, going by its name alone."""
    if model == "local" and not _local_is_installed():
        return Choice(problem=_LOCAL_IS_MISSING)
    try:
        return Choice(embed=_checked(model))
    except ClewError as error:
        return Choice(problem=f"the vectors here are of {model!r}: {error}")


def _checked(name: str) -> str:
    """Return the name of an embedder that can be made.

    Raises:
        UsageError: it cannot, for example for want of a key.
    """
    from clew.integrations.embedders import embedder_named

    try:
        embedder_named(name)
    except ClewError:
        raise
    except Exception as error:  # each provider's client has errors of its own
        raise UsageError(f"the embedder {name!r} cannot be made: {error}") from error
    return name


def _local_is_installed() -> bool:
    return importlib.util.find_spec("wordllama") is not None
