"""The parts that a workflow is given: where its threads, memories and results are kept. They are checked here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from clew.errors import UsageError
from clew.late import late
from clew.storage.base import Checkpointer
from clew.storage.cache import BaseCache
from clew.storage.opening import Opened
from clew.store.base import BaseStore

if TYPE_CHECKING:
    from clew import database
else:
    late(globals(), "clew.database")  # brings every engine; who gives a database has loaded it


class InvalidPart(UsageError, TypeError):
    """A part of a workflow is of a wrong type."""


def saver_of(given: Any, source: Any) -> Checkpointer | bool | None:
    """Return the checkpointer of a workflow: the one it was given, else that of its database; None for nowhere.

    Raises:
        InvalidPart: one of the two is something else.
    """
    _check_database(source)
    saver = source.checkpointer if source is not None and given is None else given
    if saver is None or isinstance(saver, bool | Checkpointer):
        return saver or None
    if isinstance(saver, Opened):
        raise InvalidPart(
            "Invalid checkpointer provided: what from_conn_string gives is opened by "
            "`with SqliteSaver.from_conn_string(...) as saver:`; pass that saver"
        )
    raise InvalidPart(
        f"Invalid checkpointer provided: {saver!r}. Pass a clew checkpointer such as SqliteSaver or InMemorySaver, "
        "database=Database(...), True, or None"
    )


def store_of(given: Any, source: Any) -> BaseStore | None:
    """Return the store of a workflow: the one it was given, else that of its database, or None.

    Raises:
        InvalidPart: one of the two is something else.
    """
    _check_database(source)
    store = source.store if source is not None and given is None else given
    if "langgraph.store.base" in sys.modules:  # else it cannot be one of LangGraph's
        from clew.integrations.langgraph import adapted

        store = adapted(store)
    checked: BaseStore | None = _checked("store", BaseStore, store)
    return checked


def cache_of(given: Any) -> BaseCache | None:
    """Return the cache of a workflow, or None.

    Raises:
        InvalidPart: it is something else.
    """
    checked: BaseCache | None = _checked("cache", BaseCache, given)
    return checked


def _check_database(given: Any) -> None:
    if given is not None and not isinstance(given, database.Database):
        raise InvalidPart(
            f"Invalid database provided: {given!r}. Pass a Database, such as Database('sqlite:///app.db')"
        )


def _checked(what: str, kind: type[Any], given: Any) -> Any:
    if given is None or isinstance(given, kind):
        return given
    raise InvalidPart(f"Invalid {what} provided: {given!r}. Pass a {kind.__name__} or None")
