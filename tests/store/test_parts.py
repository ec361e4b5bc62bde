"""Parts that stand for all items below a prefix."""

from __future__ import annotations

import numpy as np

from clew.store.corpus import Corpus
from clew.store.parts import drawn_ranges, merged, ranges_around, stand_for

SECOND = 2 << 32


def test_ranges_that_touch_become_one() -> None:
    given = np.array([[9, 12], [1, 3], [4, 6], [10, 11], [20, 21]])
    assert merged(given).tolist() == [[1, 6], [9, 12], [20, 21]]
    assert merged(given[:0]).tolist() == []


def test_what_is_drawn_lies_evenly_over_all_namespaces() -> None:
    ranges = drawn_ranges([(SECOND, 30_000), (0, 10_000)])
    in_second = ranges[:, 0] >= SECOND
    assert len(ranges) == 32
    assert np.count_nonzero(in_second) == 24
    assert ranges[in_second].max() < SECOND + 30_000


def test_items_that_were_not_chosen_stand_for_those_that_are_missing() -> None:
    ids = np.array([0, 1, 2, 96, 97, 98, 99, 100, 101, 102, 103, 104])
    whole = stand_for(ids, np.array([[0, 2], [101, 103]]), ranges_around([100]), size=1_000, having={})
    assert whole.weights.sum() == 1_000
    assert whole.weights[3:].tolist() == [1.0] * 9
    assert whole.drawn.tolist() == [True] * 3 + [False] * 5 + [True] * 3 + [False]
    assert whole.runs.tolist() == [1] * 3 + [2] * 9


def test_words_that_nobody_counted_are_estimated() -> None:
    words = np.array([7, 7, 8], dtype="<u4")
    corpus = Corpus([(n, words.tobytes(), b"", b"") for n in (1, 2)], 0)
    ranges = np.array([[1, 2]])
    corpus.whole = stand_for(corpus.ids, ranges, ranges[:0], size=100, having={7: 60})
    assert (corpus.size, corpus.having(7), corpus.having(8)) == (100, 60, 100)
