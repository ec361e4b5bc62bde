"""Where the pieces of saved lists lie in the file.

Pieces that follow one another form a chain, and their ids follow one another, too: a list is read by one scan of its
chain. Where a list goes on from the middle of a chain, as after a fork, a new chain begins that knows what it follows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from clew.engine.records import Piece
from clew.errors import Conflict, UnreadableRecord
from clew.storage.base import LoadPieces
from clew.storage.sqlite.packing import MESSAGES, long_id, packed, short_id, unpacked

PLACE_BITS = 32  # of an id: the place in the chain; the bits above are the chain's id


def load_pieces(connection: sqlite3.Connection, operation: LoadPieces) -> list[Piece]:
    """Read a list: the part of each chain that belongs to it.

    Raises:
        UnreadableRecord: the chains go round in a circle.
    """
    row = connection.execute("SELECT id FROM clew_pieces WHERE name = ?", (short_id(operation.last),)).fetchone()
    parts: list[list[tuple[bytes | str, int, bytes, int]]] = []
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
            id = long_id(name)
            pieces.append(Piece(id=id, before=before, count=count, body=body_of(body, is_packed)))
            before = id
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
                (place, short_id(piece.id), piece.count, fewer is not None, fewer or piece.body),
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
            (short_id(piece.before),),
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
