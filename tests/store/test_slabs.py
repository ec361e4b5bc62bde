"""What is kept as packs is read as the rows would be, and damaged packs are refused."""

from __future__ import annotations

import random
from itertools import groupby
from typing import Any

import numpy as np
import pytest

from clew.errors import UnreadableRecord
from clew.store.comparing import vectors_of
from clew.store.slabs import PACK_BITS, Pack, Slab

CODE_BYTES = 8
Row = tuple[int, bytes, bytes, int | None, bytes | None]
FIRST = 3 << 32


def row(item: int, chance: random.Random) -> Row:
    """Give an item of one of two embedders, or of none."""
    words = np.array(chance.choices(range(30), k=chance.randrange(6)), dtype="<u4").tobytes()
    marks = np.array([0, *chance.choices(range(5), k=2 * chance.randrange(3))], dtype="<u4").tobytes()
    model = chance.choice([None, 1, 2])
    return FIRST + item, words, marks, model, model and chance.randbytes(CODE_BYTES * chance.randrange(3))


def same(left: Slab, right: Slab) -> bool:
    columns: list[tuple[Any, Any]] = list(zip(left[:-1], right[:-1], strict=True))
    return all(np.array_equal(a, b) for a, b in columns) and left.vectors == right.vectors


def kept(
    rows: list[Row], vectors: dict[int, bytes] | None = None
) -> list[tuple[int, bytes, bytes, bytes, bytes, bytes]]:
    packs = []
    for number, some in groupby(rows, lambda row: row[0] >> PACK_BITS):
        of_one = list(some)
        packs.append((number, *Pack.of(of_one).kept([(vectors or {}).get(row[0]) for row in of_one])))
    return packs


@pytest.mark.parametrize("seed", range(20))
def test_packs_have_what_their_rows_have(seed: int) -> None:
    chance = random.Random(seed)
    rows = [row(item, chance) for item in sorted(chance.sample(range(300), 150))]
    whole, joined = Pack.of(rows), Pack.joined(kept(rows))
    vectors = [chance.randbytes(4 * chance.randrange(2)) for _ in rows]
    for model in (1, 2, None):
        assert same(joined.with_codes(model, CODE_BYTES), whole.with_codes(model, CODE_BYTES))
        assert same(joined.with_codes(model, 0), whole.with_codes(model, 0))
        assert same(joined.with_vectors(4, vectors), whole.with_vectors(4, vectors))


def test_codes_are_those_of_one_embedder_and_of_one_length() -> None:
    rows: list[Row] = [(1, b"", b"", 1, b"a" * 8), (2, b"", b"", 2, b"b" * 8), (3, b"", b"", 1, b"c" * 5)]
    slab = Pack.of(rows).with_codes(1, 8)
    assert slab.parts.tolist() == [1, 0, 0]
    assert slab.vectors == b"a" * 8


@pytest.mark.parametrize("column", range(1, 5))
@pytest.mark.parametrize("damage", [b"", b"x", b"\xff" * 4])
def test_damaged_packs_are_refused(column: int, damage: bytes) -> None:
    pack: list[Any] = list(kept([(FIRST + n, b"word", b"mark" * 3, 1, b"code" * 2) for n in range(9)])[0])
    pack[column] = damage if column == 1 else pack[column] + (damage or b"four")
    with pytest.raises(UnreadableRecord, match="is damaged"):
        Pack.joined([tuple(pack)])  # type: ignore[arg-type,list-item]


def test_rounded_vectors_are_nearly_those_that_were_kept() -> None:
    chance = np.random.default_rng(1)
    rows: list[Row] = [(FIRST + n, b"", b"", 1, b"8 bytes." * (n % 3)) for n in range(150)]
    exact = {row[0]: chance.normal(size=(n % 3, 26)).astype("<f4") for n, row in enumerate(rows)}
    joined = Pack.joined(kept(rows, {item: some.tobytes() for item, some in exact.items()}))
    slab = joined.with_rounded(1, 26)
    assert slab is not None
    assert slab.parts.tolist() == [n % 3 for n in range(150)]
    query = chance.normal(size=26).astype("<f4")
    found = vectors_of([slab.vectors], 26, coded=False, rounded=True).similarities_to(query.tobytes())
    expected = np.concatenate(list(exact.values())) @ query / np.linalg.norm(query)
    assert np.abs(found - expected).max() < 0.1  # of vectors about five long
    assert joined.with_rounded(2, 26) is None
    assert joined.with_rounded(1, 64) is None
    assert Pack.of(rows).with_rounded(1, 26) is None


def test_vectors_without_a_component_are_rounded_to_themselves() -> None:
    zeros = np.zeros((2, 26), dtype="<f4").tobytes()
    vectors = vectors_of([zeros], 26, coded=False, rounded=True)
    assert vectors.similarities_to(np.ones(26, dtype="<f4").tobytes()).tolist() == [0, 0]
