"""Packs of what is indexed of neighbouring memories in SQLite: keeping them, and reading a namespace by them.

A pack stands for rows that do not change any more, as far as anybody knows: triggers remove it when one of them does
(see schema/0002_items.sql), and then the rows themselves are read. Whoever reads them instead of a pack says so, and
the next writes make the pack anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from clew.store.corpus import SEQUENCE_BITS, vector_bytes
from clew.store.slabs import PACK_BITS, Pack, Slab

_ROWS = "SELECT id, words, marks, model, codes FROM clew_item_index WHERE id >= ? AND id < ? ORDER BY id"
_WITH_VECTORS = """
SELECT x.id, x.words, x.marks, x.model, x.codes, v.vectors
FROM clew_item_index x LEFT JOIN clew_item_vectors v ON v.id = x.id
WHERE x.id >= ? AND x.id < ? ORDER BY x.id
"""
_PACKS = "SELECT id, heads, terms, marks, codes, rounded FROM clew_item_packs WHERE id >= ? AND id < ? ORDER BY id"
_VECTORS = "FROM clew_item_vectors WHERE id >= ? AND id < ? ORDER BY id"
_ROWS_AT_ONCE = 1024


def keep_full_pack(connection: sqlite3.Connection, last_id: int) -> None:
    """Keep the pack of an item that has just been added, if it is the last one there can be."""
    if (last_id + 1) % (1 << PACK_BITS) == 0:
        keep_pack(connection, last_id >> PACK_BITS)


def keep_packs(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Keep the packs of some items that were indexed anew."""
    for number in sorted({item_id >> PACK_BITS for item_id in ids}):
        keep_pack(connection, number)


def keep_pack(connection: sqlite3.Connection, number: int) -> None:
    """Keep a pack of items, by their ids without the last PACK_BITS; none of what is not indexed."""
    rows = connection.execute(_WITH_VECTORS, (number << PACK_BITS, (number + 1) << PACK_BITS)).fetchall()
    if rows:
        kept = (number, *Pack.of([row[:5] for row in rows]).kept([row[5] for row in rows]))
        connection.execute("INSERT OR REPLACE INTO clew_item_packs VALUES (?, ?, ?, ?, ?, ?)", kept)


def read_slabs(
    connection: sqlite3.Connection,
    spaces: Sequence[int],
    model: int | None,
    dims: int,
    *,
    coded: bool,
    rounded: bool,
    missing: set[int],
) -> Iterator[Slab]:
    """Read what is indexed in some namespaces, in the order of ids; there is at least one slab.

    Args:
        coded: with codes instead of vectors.
        rounded: with rounded vectors, where packs have them.
        missing: gets the numbers of packs that there should be and are not.
    """
    size = vector_bytes(dims, coded=coded)
    yield Pack.of(()).with_codes(None, size)
    for space in spaces:
        for pack, start, end in _packs(connection, space << SEQUENCE_BITS, (space + 1) << SEQUENCE_BITS, missing):
            if coded or not size:
                yield pack.with_codes(model, size)
            elif rounded and (slab := pack.with_rounded(model, dims)) is not None:
                yield slab
            else:
                yield pack.with_vectors(size, _vectors(connection, pack, model, start, end))


def _vectors(connection: sqlite3.Connection, pack: Pack, model: int | None, start: int, end: int) -> list[bytes]:
    """Give the vectors of each item of a pack, which covers a range of ids; none where they are of other models."""
    if pack.is_all_of(model):  # as nearly always: without their ids they are read in two thirds of the time
        vectors = [vector for (vector,) in connection.execute(f"SELECT vectors {_VECTORS}", (start, end)).fetchall()]
        if len(vectors) == len(pack.ids):
            return vectors
    found = dict(connection.execute(f"SELECT id, vectors {_VECTORS}", (start, end)).fetchall())
    own = (pack.models == (model or -1)).tolist()
    return [found.get(item_id, b"") if is_own else b"" for item_id, is_own in zip(pack.ids.tolist(), own, strict=True)]


def _packs(connection: sqlite3.Connection, start: int, end: int, missing: set[int]) -> Iterator[tuple[Pack, int, int]]:
    """Give packs of a namespace's range of ids, kept ones and others, each with the range that it covers."""
    kept = connection.execute(_PACKS, (start >> PACK_BITS, end >> PACK_BITS)).fetchall()
    at = 0
    while at < len(kept):
        side_by_side = _side_by_side(kept, at)
        first = kept[at][0] << PACK_BITS
        for pack, begin, after in _rows(connection, start, first):
            missing.update((pack.ids >> PACK_BITS).tolist())
            yield pack, begin, after
        at += side_by_side
        start = first + (side_by_side << PACK_BITS)
        yield Pack.joined(kept[at - side_by_side : at]), first, start
    last: set[int] = set()
    for pack, begin, after in _rows(connection, start, end):
        last.update((pack.ids >> PACK_BITS).tolist())
        yield pack, begin, after
    missing.update(sorted(last)[:-1])  # the last one is not full yet


def _side_by_side(kept: Sequence[tuple[int, bytes, bytes, bytes, bytes, bytes]], at: int) -> int:
    """Say how many packs from one on have numbers in a row."""
    end = at + 1
    while end < len(kept) and kept[end][0] == kept[end - 1][0] + 1:
        end += 1
    return end - at


def _rows(connection: sqlite3.Connection, start: int, end: int) -> Iterator[tuple[Pack, int, int]]:
    if start >= end:
        return
    found = connection.execute(_ROWS, (start, end))
    while rows := found.fetchmany(_ROWS_AT_ONCE):
        after = rows[-1][0] + 1
        yield Pack.of(rows), start, after
        start = after
