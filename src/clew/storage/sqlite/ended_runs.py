"""A run that has ended, with its journal, in one row: packed as what it holds beside the pieces of lists that it added.

What was said in a turn is in the piece that it adds to a list; most of it is in the input, the value or what the last
tasks returned, too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from clew.engine.records import Piece, Record, RecordState, Run
from clew.errors import UnreadableRecord
from clew.storage.base import End
from clew.storage.sqlite.packing import WINDOW_BYTES, long_id, packed, short_id, unpacked
from clew.storage.sqlite.pieces import body_of

RECORD = ", ".join(Record.__struct_fields__)
row_of = attrgetter(*Record.__struct_fields__)  # a record as a row of these columns
Row = tuple[str, str, bytes, str, RecordState, bytes, int, float, float]  # of these columns
_MOST_RECORDS = 16  # a longer journal stays where it is, so that a run of thousands of tasks ends at once

_PIECE = "(SELECT {} FROM clew_pieces WHERE clew_pieces.id = dictionary)"
#: What `unpack_run` takes of a row of clew_runs.
PACKED = ", ".join(["run_id", "previous", "packed", *map(_PIECE.format, ("name", "body", "is_packed"))])


class Contents(msgspec.Struct, frozen=True, array_like=True):
    """What a row keeps of a run in one; its columns are NULL then, and the rows of the journal gone."""

    input: bytes | None
    value: bytes | None
    saved: bytes | None
    parent: str | None
    records: Sequence[Row]


_contents = msgspec.msgpack.Decoder(Contents)


def pack_run(connection: sqlite3.Connection, run: int, left: Run | End, pieces: Sequence[Piece]) -> bool:
    """Keep what a run holds in one, packed with the longest of the pieces that it added, where that is worth it.

    Args:
        connection: in a transaction.
        run: its row, which has input and parent.
        left: what has its value, and that for the next run. A row that had these first would grow before it shrinks,
            and leave gaps in its page.
        pieces: of lists in what it left.

    Returns:
        whether it is kept so.
    """
    columns = "SELECT previous, input, parent FROM clew_runs WHERE id = ?"
    row = connection.execute(columns, (run,)).fetchone() if pieces else None
    if row is None:
        return False
    previous, input, parent = row
    values = [input, left.value, left.saved, parent]
    journal = f"SELECT {RECORD} FROM clew_records WHERE run = ? ORDER BY id LIMIT ?"
    records = connection.execute(journal, (run, _MOST_RECORDS + 1)).fetchall()
    piece = max(pieces, key=lambda piece: len(piece.body))
    dictionary = _dictionary(piece.body, piece.id, previous)
    fewer = _packed([*values, records], dictionary) if 0 < len(records) <= _MOST_RECORDS else None
    if fewer is not None:
        connection.execute("DELETE FROM clew_records WHERE run = ?", (run,))
    else:
        fewer = _packed([*values, []], dictionary)
    if fewer is not None:
        connection.execute(
            "UPDATE clew_runs SET input = NULL, value = NULL, saved = NULL, parent = NULL, packed = ?, "
            "dictionary = (SELECT id FROM clew_pieces WHERE name = ?) WHERE id = ?",
            (fewer, short_id(piece.id), run),
        )
    return fewer is not None


def unpack_run(row: Sequence[Any]) -> Contents:
    """Return what `pack_run` has packed, of a row of the columns `PACKED`.

    Raises:
        UnreadableRecord: the piece is gone, or bytes are damaged.
    """
    run_id, previous, fewer, name, body, is_packed = row
    if name is None or body is None:
        raise UnreadableRecord(f"run {long_id(run_id)} is incomplete: a piece of a list that it saved is gone")
    dictionary = _dictionary(body_of(body, is_packed), long_id(name), previous)
    try:
        return _contents.decode(unpacked(fewer, dictionary))
    except ValueError as error:  # of msgspec, or of UTF-8
        raise UnreadableRecord(f"run {long_id(run_id)} is damaged: {error}") from error


def _packed(contents: list[Any], dictionary: bytes) -> bytes | None:
    return packed(msgspec.msgpack.encode(contents), dictionary)


def _dictionary(body: bytes, name: str, previous: bytes | str | None) -> bytes:
    """Return what packed runs refer to: the end of a piece, its name, and the run before."""
    return body[-WINDOW_BYTES:] + name.encode() + (b"" if previous is None else long_id(previous).encode())
