"""What a command indexes of memories that a program put: the same texts as the program, or nothing at all."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from clew import Database
from clew.cli.databases import indexed_store
from clew.errors import UsageError
from clew.store.outbox import Indexed, is_indexed_alike
from clew.store.transactional import TransactionalStore

_AT_ONCE = 256

Fields = Annotated[
    list[str] | None,
    typer.Option("--field", metavar="PATH", help="What of a value is searched, as in the program's fields=[...]."),
]


def check_indexed_alike(database: Database, *, most: int | None = None) -> None:
    """Refuse a database of which a program indexes other texts than a store without `fields` would.

    Args:
        database: opened with the embedder that is to be used, and without fields.
        most: how many memories to look at, in steps of some hundreds; None: all.

    Raises:
        UsageError: it does.
    """
    store, after, seen = indexed_store(database), -1, 0
    while (most is None or seen < most) and (found := _indexed(store, after)):
        if not all(is_indexed_alike(item, store.settings) for item in found):
            raise UsageError(
                "the program indexes only parts of its memories, or by settings of its own: name them by --field, as "
                "its fields=[...] does, or have its own store do this; nothing was changed"
            )
        after, seen = found[-1].id, seen + len(found)


def _indexed(store: TransactionalStore[Any], after: int) -> list[Indexed]:
    return store.with_keeper("read", lambda keeper, state: keeper.indexed(state, after, _AT_ONCE))
