"""Where the pieces of saved lists lie in the file, and how a run's values are kept beside them without repeating them.

Pieces that follow one another form a chain, and their ids follow one another, too: a list is read by one scan of its
chain. Where a list goes on from the middle of a chain, as after a fork, a new chain begins that knows what it follows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from clew.engine.records import Piece, Record, Run
from clew.errors import Conflict, UnreadableRecord
from clew.storage.base import LoadPieces
from clew.storage.sqlite.packing import MESSAGES, WINDOW_BYTES, packed, unpacked

PLACE_BITS = 32  # of an id: the place in the chain; the bits above are the chain's id
_SMALLEST_OUTCOME_BYTES = 128  # what is shorter is not worth its own compression
_MOST_OUTCOMES = 16  # of a run, so that one with thousands of tasks does not end with thousands of compressions
_values = msgspec.msgpack.Decoder(tuple[bytes | None, bytes | None, bytes | None, str | None])


def load_pieces(connection: sqlite3.Connection, operation: LoadPieces) -> list[Piece]:
    """Read a list: the part of each chain that belongs to it.

    Raises:
        UnreadableRecord: the chains go round in a circle.
    """
    row = connection.execute("SELECT id FROM clew_pieces WHERE name = ?", (operation.last,)).fetchone()
    parts: list[list[tuple[str, int, bytes, int]]] = []
    while row is not None and row[0] is not None:
        chain = row[0] >> PLACE_BITS
        parts.append(
            connection.execute(
                "SELECT name, count, body, is_packed FROM clew_pieces WHERE id BETWEEN ? AND ? ORDER BY id",
                (chain << PLACE_BITS, row[0]),
            ).fetchall()
        )
        row = connection.execute("SELECT before FROM clew_chains WHERE id = ?", (chain,)).fetchone()
        if row is not None and row[0] is not None and row[0] >> PLACE_BITS >= chain:
            raise UnreadableRecord(f"a saved list is damaged: chain {chain} follows one that began after it")
    pieces: list[Piece] = []
    before: str | None = None
    for part in reversed(parts):
        for name, count, body, is_packed in part:
            pieces.append(Piece(id=name, before=before, count=count, body=body_of(body, is_packed)))
            before = name
    return pieces


def add_pieces(connection: sqlite3.Connection, thread: int, pieces: Sequence[Piece]) -> None:
    """Put each piece after the one it names, which is kept already.

    Raises:
        Conflict: the piece before one of them is gone, or one of that name is there.
    """
    for piece in pieces:
        place, fewer = _place(connection, thread, piece), packed(piece.body, MESSAGES)
        try:
            connection.execute(
                "INSERT INTO clew_pieces (id, name, count, is_packed, body) VALUES (?, ?, ?, ?, ?)",
                (place, piece.id, piece.count, fewer is not None, fewer or piece.body),
            )
        except sqlite3.IntegrityError as error:
            raise Conflict(f"a piece {piece.id!r} of a saved list is kept already") from error


def _place(connection: sqlite3.Connection, thread: int, piece: Piece) -> int:
    """Return the id for a piece: the next one of its chain if that is free, else the first one of a new chain."""
    last: int | None = None
    if piece.before is not None:
        row = connection.execute(
            "SELECT id, EXISTS (SELECT 1 FROM clew_pieces AS next WHERE next.id = last.id + 1) "
            "FROM clew_pieces AS last WHERE name = ?",
            (piece.before,),
        ).fetchone()
        if row is None:
            raise Conflict(f"piece {piece.before!r} of a saved list, which {piece.id!r} follows, was removed meanwhile")
        last, is_followed = row
        if not is_followed:
            return int(row[0]) + 1
    chain = connection.execute("INSERT INTO clew_chains (thread, before) VALUES (?, ?)", (thread, last)).lastrowid
    return int(chain or 0) << PLACE_BITS


def body_of(body: bytes, is_packed: int) -> bytes:
    """Return the body of a piece as it was before it was kept.

    Args:
        body: as it is kept.
        is_packed: whether it is compressed.

    Raises:
        UnreadableRecord: it is damaged.
    """
    return unpacked(body, MESSAGES) if is_packed else body


def pack_run(connection: sqlite3.Connection, run: int, pieces: Sequence[Piece]) -> None:
    """Keep the values of a run that has ended as what they hold beside the longest of the pieces that it added.

    What was said in a turn is in the piece that it adds to the list; most of it is in the input, the value or what
    the last tasks returned, too.
    """
    columns = "SELECT previous, input, value, saved, parent FROM clew_runs WHERE id = ?"
    row = connection.execute(columns, (run,)).fetchone() if pieces else None
    if row is None:
        return
    previous, *values = row
    piece = max(pieces, key=lambda piece: len(piece.body))
    dictionary = _dictionary(piece.body, piece.id, previous)
    fewer = packed(msgspec.msgpack.encode(values), dictionary)
    if _pack_outcomes(connection, run, dictionary) or fewer is not None:
        connection.execute(
            "UPDATE clew_runs SET dictionary = (SELECT id FROM clew_pieces WHERE name = ?) WHERE id = ?",
            (piece.id, run),
        )
    if fewer is not None:
        connection.execute(
            "UPDATE clew_runs SET input = NULL, value = NULL, saved = NULL, parent = NULL, packed = ? WHERE id = ?",
            (fewer, run),
        )


def _pack_outcomes(connection: sqlite3.Connection, run: int, dictionary: bytes) -> bool:
    """Keep the last long outcomes of a run in fewer bytes, where that is worth it, and say whether any are."""
    found = connection.execute(
        "SELECT id, outcome FROM clew_records WHERE run = ? AND length(outcome) BETWEEN ? AND ? "
        "ORDER BY id DESC LIMIT ?",
        (run, _SMALLEST_OUTCOME_BYTES, WINDOW_BYTES, _MOST_OUTCOMES),
    ).fetchall()
    smaller = [(fewer, id) for id, outcome in found if (fewer := packed(outcome, dictionary)) is not None]
    connection.executemany("UPDATE clew_records SET outcome = ?, is_packed = 1 WHERE id = ?", smaller)
    return bool(smaller)


def unpack_outcomes(connection: sqlite3.Connection, run: int, rows: Sequence[tuple[Record, int]]) -> list[Record]:
    """Return the records of a run as they were before `pack_run`.

    Args:
        connection: to look up what they were packed with.
        run: the row of their run.
        rows: each with whether its outcome is packed.

    Raises:
        UnreadableRecord: the piece is gone, or bytes are damaged.
    """
    found = connection.execute(
        "SELECT name, body, is_packed, previous FROM clew_runs JOIN clew_pieces ON clew_pieces.id = dictionary "
        "WHERE clew_runs.id = ?",
        (run,),
    ).fetchone()
    if found is None:
        raise UnreadableRecord("outcomes of a run are incomplete: a piece of a list that it saved is gone")
    name, body, is_body_packed, previous = found
    dictionary = _dictionary(body_of(body, is_body_packed), name, previous)
    return [
        replace(record, outcome=unpacked(record.outcome, dictionary)) if is_packed else record
        for record, is_packed in rows
    ]


def unpack_run(run: Run, fewer: bytes, name: str | None, body: bytes | None, is_packed: int | None) -> Run:
    """Return a run with the values that `pack_run` has packed with the piece of this name and body.

    Raises:
        UnreadableRecord: the piece is gone, or bytes are damaged.
    """
    if name is None or body is None:
        raise UnreadableRecord(f"the values of run {run.id} are incomplete: a piece of a list that it saved is gone")
    dictionary = _dictionary(body_of(body, is_packed or 0), name, run.previous)
    try:
        input, value, saved, parent = _values.decode(unpacked(fewer, dictionary))
    except ValueError as error:  # of msgspec, or of UTF-8
        raise UnreadableRecord(f"the values of run {run.id} are damaged: {error}") from error
    return replace(run, input=input, value=value, saved=saved, parent=parent)


def _dictionary(body: bytes, name: str, previous: str | None) -> bytes:
    """Return what packed values refer to: the end of a piece, its name, and the run before."""
    return body[-WINDOW_BYTES:] + name.encode() + (previous or "").encode()
