"""`clew memory`: look at the memories of a database, and change them. What it shows is as wide as the terminal."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, cast

import typer

from clew import BaseStore, Database, Item
from clew.cli.databases import NO_EMBEDDER, choose_embedder, existing_url, indexed_store, kept_url, open_database
from clew.cli.indexing import Fields, check_indexed_alike
from clew.cli.items import (
    ITEM_COLUMNS,
    VERSION_COLUMNS,
    item_row,
    parse_json,
    parse_memory,
    parse_moment,
    score_text,
    show_item,
    show_rows,
    version_row,
    why_text,
)
from clew.cli.namespaces import parse_namespace, show_namespace
from clew.cli.screen import Screen, errors_shown
from clew.errors import UsageError
from clew.store.expiry import NOT_GIVEN
from clew.store.operations import Mode

memory = typer.Typer(
    no_args_is_help=True,
    help="Look at memories and change them. Namespaces are written memories/1; a / inside a label is %2F, a % is %25.",
)

_EVERY = 2**31 - 1
_MOST_COMPARED = 1000


class _Modes(StrEnum):
    """How a search ranks."""

    hybrid = "hybrid"
    semantic = "semantic"
    keyword = "keyword"


_Db = Annotated[
    str | None, typer.Option(help="The database, such as sqlite:///app.db; that of `clew chat` if not given.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Limit = Annotated[int, typer.Option(min=1, help="The most to show.")]
_Offset = Annotated[int, typer.Option(min=0, help="How many to skip.")]
_Filter = Annotated[str | None, typer.Option(help='Conditions on the value as JSON, such as \'{"kind": "food"}\'.')]
_Below = Annotated[str, typer.Argument(metavar="[NAMESPACE]", help="Only what is in or below it, such as memories/1.")]
_AsOf = Annotated[
    str | None, typer.Option(help="As it was then: a time such as 2026-01-31T18:00 (UTC), or a checkpoint's id.")
]
_Namespace = Annotated[str, typer.Argument(help="Where it is kept, such as memories/1.")]
_Key = Annotated[str, typer.Argument(help="Its key.")]
Embed = Annotated[
    str | None,
    typer.Option(help="Who makes vectors: local, openai:MODEL, PROVIDER:MODEL or none; the database's own by default."),
]


@memory.command("ls")
def ls(
    namespace: _Below = "",
    namespaces: Annotated[bool, typer.Option("--namespaces", help="List namespaces, not what is in them.")] = False,
    filter: _Filter = None,
    as_of: _AsOf = None,
    limit: _Limit = 20,
    offset: _Offset = 0,
    db: _Db = None,
    as_json: _Json = False,
) -> None:
    """List memories, the newest first, or the namespaces that hold some."""
    with _reading(db) as (store, screen):
        prefix, one_more = parse_namespace(namespace), limit + 1
        if namespaces:
            if as_of is not None:
                raise UsageError("namespaces are listed as they are now: leave out --as-of")
            if filter is not None:
                raise UsageError("namespaces have no values: leave out --filter")
            listed = store.list_namespaces(prefix=prefix, limit=one_more, offset=offset)
            rows = [[show_namespace(one)] for one in listed[:limit]]
            show_rows(screen, listed[:limit] if as_json else None, ["namespace"], rows)
            found = len(listed)
        else:
            conditions = parse_json(filter, "--filter")
            items = store.search(
                prefix, filter=conditions, limit=one_more, offset=offset, refresh_ttl=False, as_of=parse_moment(as_of)
            )
            data = [Item.dict(item) for item in items[:limit]]
            show_rows(screen, data if as_json else None, ITEM_COLUMNS, map(item_row, items[:limit]))
            found = len(items)
        if found > limit:
            screen.note(f"There are more: --offset {offset + limit}")


@memory.command("search")
def search(
    query: Annotated[str, typer.Argument(help="What is looked for.")],
    namespace: _Below = "",
    mode: Annotated[_Modes | None, typer.Option(help="Rank by meaning, by words or by both; both by default.")] = None,
    filter: _Filter = None,
    min_score: Annotated[float | None, typer.Option(help="Leave out what scores lower.")] = None,
    as_of: _AsOf = None,
    limit: _Limit = 10,
    offset: _Offset = 0,
    embed: Embed = None,
    db: _Db = None,
    as_json: _Json = False,
) -> None:
    """Search memories, and say for each why it was found."""
    screen = Screen()
    with errors_shown(screen), open_embedding(existing_url(db), embed, screen) as database:
        found = database.store.search(
            parse_namespace(namespace), query=query, filter=parse_json(filter, "--filter"), limit=limit, offset=offset,
            refresh_ttl=False, mode=cast(Mode | None, mode and mode.value), min_score=min_score, explain=True,
            as_of=parse_moment(as_of),
        )  # fmt: skip
        data = [{**item.dict(), "why": asdict(item.why) if item.why else None} for item in found]
        rows = [[score_text(item.score), *item_row(item), why_text(item.why)] for item in found]
        show_rows(screen, data if as_json else None, ["score", *ITEM_COLUMNS, "why"], rows)


@memory.command("get")
def get(namespace: _Namespace, key: _Key, as_of: _AsOf = None, db: _Db = None, as_json: _Json = False) -> None:
    """Show one memory; its time to live does not change by that."""
    with _reading(db) as (store, screen):
        show_item(screen, as_json, _existing(store, namespace, key, as_of))


@memory.command("history")
def history(namespace: _Namespace, key: _Key, db: _Db = None, as_json: _Json = False) -> None:
    """Show what a memory was before, the newest first: who wrote it, and how it ended."""
    with _reading(db) as (store, screen):
        versions = store.history(parse_namespace(namespace), key)
        if not versions:
            raise UsageError(f"there is no memory {key!r} in {namespace!r}, and none is remembered")
        data = [version.dict() for version in versions]
        show_rows(screen, data if as_json else None, VERSION_COLUMNS, map(version_row, versions))


@memory.command("put")
def put(
    namespace: _Namespace,
    key: _Key,
    value: Annotated[
        str, typer.Argument(help='The memory as a JSON object, such as \'{"data": "tea"}\'; - for stdin.')
    ],
    ttl: Annotated[float | None, typer.Option(help="Minutes it lives; for ever by default.")] = None,
    if_version: Annotated[
        int | None, typer.Option(min=0, help="Only if it replaces this version (0: nothing yet).")
    ] = None,
    index: Annotated[bool, typer.Option(help="Whether searches find it.")] = True,
    field: Fields = None,
    embed: Embed = None,
    db: _Db = None,
    as_json: _Json = False,
) -> None:
    """Keep a memory, replacing the one of that key; the database is made if it is not there.

    Where the program indexes only parts of its memories, name them by --field.
    """
    screen, who = Screen(), embed if index else NO_EMBEDDER
    with errors_shown(screen), open_embedding(kept_url(db), who, screen, field) as database:
        place, store = parse_namespace(namespace), database.store
        new = parse_memory(sys.stdin.read() if value == "-" else value)
        if index and not field:
            check_indexed_alike(database, most=_MOST_COMPARED)
        store.put(
            place, key, new, index=None if index else False,
            ttl=NOT_GIVEN if ttl is None else ttl, if_version=if_version,
        )  # fmt: skip
        show_item(screen, as_json, _existing(store, namespace, key))


@memory.command("rm")
def rm(
    namespace: _Namespace,
    key: Annotated[str | None, typer.Argument(help="Its key.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Delete all that is in and below the namespace.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --all.")] = False,
    db: _Db = None,
    as_json: _Json = False,
) -> None:
    """Delete one memory, or with --all those of a namespace and of all below it."""
    with _reading(db) as (store, screen):
        if everything == (key is not None):
            raise UsageError("name the key of the memory to delete, or --all for all of the namespace, not both")
        if key is not None:
            item = _existing(store, namespace, key)
            store.delete(item.namespace, item.key)
            deleted = 1
        else:
            prefix = parse_namespace(namespace)
            if not yes:
                where = repr(namespace) if namespace else "every namespace"
                typer.confirm(f"Delete all memories in and below {where}?", abort=True, err=True)
            deleted = store.delete_namespace(prefix)
        if as_json:
            screen.json({"deleted": deleted})
        else:
            screen.note(f"Deleted: {deleted}")


@memory.command("stats")
def stats(db: _Db = None, as_json: _Json = False) -> None:
    """Count memories and namespaces, and say which are indexed, which wait for their vectors, and why."""
    screen = Screen()
    with errors_shown(screen), open_database(existing_url(db)) as database:
        status = indexed_store(database).index_status()
        counts = {
            "database": database.url,
            "items": status.items,
            "namespaces": len(database.store.list_namespaces(limit=_EVERY)),
            "vectors": status.other_models,
            "waiting": status.waiting,
            "reasons": status.reasons,
        }
        if as_json:
            screen.json(counts)
        else:
            screen.listing((name, _count_text(count)) for name, count in counts.items())


@contextmanager
def _reading(url: str | None) -> Generator[tuple[BaseStore, Screen]]:
    """Open the store of a database that is there, without an embedder, and show errors."""
    screen = Screen()
    with errors_shown(screen), open_database(existing_url(url)) as database:
        yield database.store, screen


@contextmanager
def open_embedding(
    url: str, wanted: str | None, screen: Screen, fields: list[str] | None = None
) -> Generator[Database]:
    """Open a database with the embedder that fits it, and say so where there is none for its vectors."""
    with open_database(url, fields=fields) as database:
        choice = choose_embedder(database, wanted)
        if choice.embed is None:
            if choice.problem:
                screen.note(f"By words alone, for {choice.problem}")
            yield database
            return
    with open_database(url, embed=choice.embed, fields=fields) as database:
        yield database


def _existing(store: BaseStore, namespace: str, key: str, as_of: str | None = None) -> Item:
    item = store.get(parse_namespace(namespace), key, refresh_ttl=False, as_of=parse_moment(as_of))
    if item is None:
        raise UsageError(
            f"there is no memory {key!r} in {namespace!r}"
            if as_of is None
            else f"there was no memory {key!r} in {namespace!r} then; `clew memory history` shows what was"
        )
    return item


def _count_text(count: object) -> str:
    return ", ".join(f"{name}: {n}" for name, n in count.items()) or "none" if isinstance(count, dict) else str(count)
