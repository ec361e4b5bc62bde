"""Memories as text: how items, scores and reasons look in a terminal, and how a memory is read from one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from clew import Item, ItemVersion
from clew.cli.namespaces import show_namespace
from clew.cli.screen import Screen
from clew.errors import InvalidValue, UsageError
from clew.store.operations import Explanation, Writer

ITEM_COLUMNS = ["namespace", "key", "updated", "value"]
VERSION_COLUMNS = ["version", "written", "by", "ended", "by", "value"]
_MOST_CHARACTERS = 300


def show_rows(screen: Screen, data: Any, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Show the data as JSON, or the rows as a table where there is none."""
    if data is None:
        screen.table(columns, rows)
    else:
        screen.json(data)


def show_item(screen: Screen, as_json: bool, item: Item) -> None:
    """Show everything about one memory."""
    if as_json:
        screen.json(Item.dict(item))
        return
    rows = Item.dict(item) | {"namespace": show_namespace(item.namespace)}
    value = rows.pop("value")
    screen.listing((name, str(about)) for name, about in rows.items())
    screen.listing([("value", json.dumps(value, indent=2, ensure_ascii=False))])


def item_row(item: Item) -> list[str]:
    """Give a memory's cells below ITEM_COLUMNS."""
    return [show_namespace(item.namespace), item.key, f"{item.updated_at:%Y-%m-%d %H:%M}", _short(item.value)]


def version_row(version: ItemVersion) -> list[str]:
    """Give a version's cells below VERSION_COLUMNS."""
    ended = f"{version.ended} {version.ended_at:%Y-%m-%d %H:%M:%S}" if version.ended_at else ""
    return [
        str(version.version), f"{version.updated_at:%Y-%m-%d %H:%M:%S}", _writer_text(version.written_by), ended,
        _writer_text(version.ended_by), _short(version.value),
    ]  # fmt: skip


def _writer_text(writer: Writer | None) -> str:
    if writer is None:
        return ""
    run = f"run {writer.run_id[:8]}"
    return run if writer.thread_id is None else f"thread {writer.thread_id}, {run}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def score_text(score: float | None) -> str:
    """Write a score; nothing where nothing was ranked."""
    return "" if score is None else f"{score:.3f}"


def why_text(why: Explanation | None) -> str:
    """Write what contributed to a score."""
    if why is None:
        return ""
    parts = {"meaning": why.meaning, "words": why.words, "context": why.context}
    return ", ".join(f"{name} {part:.3f}" for name, part in parts.items() if part is not None)


def parse_memory(text: str) -> Any:
    """Read a memory from JSON.

    Raises:
        UsageError: it is none; `InvalidValue` where it is JSON, but no object.
    """
    value = parse_json(text, "the memory")
    if not isinstance(value, dict):
        raise InvalidValue(f"a memory is a JSON object, not {text!r}: wrap it, as in '{{\"data\": ...}}'")
    return value


def parse_moment(text: str | None) -> datetime | str | None:
    """Read a time, in UTC where it names no zone; anything else names a checkpoint.

    Raises:
        UsageError: the time is before or after all that UTC can say.
    """
    try:
        moment = None if text is None else datetime.fromisoformat(text)
        return moment and (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))
    except ValueError:
        return text
    except OverflowError as error:
        raise UsageError(f"--as-of {text!r} is no time of the years 1 to 9999 in UTC") from error


def parse_json(text: str | None, what: str) -> Any:
    """Read JSON from an option; None from one that was left out.

    Raises:
        UsageError: it is no JSON.
    """
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        quoted = f"'{json.dumps(text, ensure_ascii=False)}'"
        raise UsageError(
            f"{what} is no JSON ({error}): {text!r}; write it in single quotes for the shell, a text as {quoted}"
        ) from error
