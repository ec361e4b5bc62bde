"""A corpus that is brought up to date is the one that would be built anew."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from clew.store.codes import code_of, codes_of
from clew.store.corpus import Corpus
from clew.store.ranking import cosine

DIMS = 8
QUERY = np.arange(DIMS, dtype="<f4").tobytes()
ROUGHLY = 0.1  # of vectors about three long
Row = tuple[int, bytes, bytes, bytes]


def row(item: int, chance: random.Random, *, coded: bool) -> Row:
    """Give an item with some words, marks, and no, one or two vectors."""
    count = chance.randrange(3)
    vectors = np.array([chance.gauss(0, 1) for _ in range(count * DIMS)], dtype="<f4").tobytes()
    words = np.array(chance.choices(range(30), k=chance.randrange(6)), dtype="<u4").tobytes()
    marks = np.array([0, *chance.choices(range(5), k=4)], dtype="<u4").tobytes()
    return item, words, marks, code_of(vectors, DIMS) if coded and count else vectors


def built(rows: dict[int, Row], form: str) -> Corpus:
    return Corpus([rows[item] for item in sorted(rows)], DIMS, coded=form == "coded", rounded=form == "rounded")


def same(left: Corpus, right: Corpus) -> bool:
    arrays = ("ids", "lengths", "vector_owners")
    equal = all(np.array_equal(getattr(left, name), getattr(right, name)) for name in arrays)
    similar = np.allclose(*(corpus.vectors.similarities_to(QUERY) for corpus in (left, right)), atol=ROUGHLY)
    terms = ((left.postings(term), right.postings(term)) for term in range(30))
    posted = all(np.array_equal(a.owners, b.owners) and np.array_equal(a.times, b.times) for a, b in terms)
    marked = all(map(np.array_equal, left.marks, right.marks))
    return equal and similar and posted and marked and left.one_vector_each == right.one_vector_each


@pytest.mark.parametrize("form", ["exact", "rounded", "coded"])
@pytest.mark.parametrize("seed", range(30))
def test_a_changed_corpus_is_the_one_built_anew(seed: int, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr("clew.store.corpus._MOST_UNSORTED", chance.choice([0, 20, 20_000]))
    rows = {item: row(item, chance, coded=form == "coded") for item in chance.sample(range(100), chance.randrange(40))}
    corpus = built(rows, form)
    for _ in range(4):
        new = {
            item: row(item, chance, coded=form == "coded") for item in chance.sample(range(120), chance.randrange(8))
        }
        gone = [item for item in chance.sample(range(120), 5) if item not in new]
        rows = {item: kept for item, kept in (rows | new).items() if item not in gone}
        corpus = corpus.changed([new[item] for item in sorted(new)], gone)
        assert same(corpus, built(rows, form))


@pytest.mark.parametrize("form", ["exact", "rounded", "coded"])
@pytest.mark.parametrize("seed", range(10))
def test_a_wide_corpus_that_is_extended_finds_what_one_built_anew_finds(
    seed: int, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr("clew.store.corpus._MOST_UNSORTED", 20)
    monkeypatch.setattr("clew.store.corpus._LATE_SHARE", 0)
    rows = {item: row(item, chance, coded=form == "coded") for item in chance.sample(range(100), 40)}
    corpus = built(rows, form)
    query = np.array([chance.gauss(0, 1) for _ in range(DIMS)], dtype="<f4").tobytes()
    for _ in range(4):
        new = {
            item: row(item, chance, coded=form == "coded") for item in chance.sample(range(120), chance.randrange(8))
        }
        gone = [item for item in chance.sample(range(120), 5) if item not in new]
        rows = {item: kept for item, kept in (rows | new).items() if item not in gone}
        corpus = corpus.changed([new[item] for item in sorted(new)], gone)
        anew = built(rows, form)
        assert there(corpus, np.arange(len(corpus))) == sorted(rows)
        for term in range(30):
            assert there(corpus, corpus.postings(term).owners) == there(anew, anew.postings(term).owners)
        assert meanings(corpus, query) == pytest.approx(meanings(anew, query), abs=ROUGHLY)


def there(corpus: Corpus, places: Any) -> list[int]:
    """Give the ids of the items at some places that are not gone, sorted."""
    gone = [] if corpus.gone is None else corpus.gone
    return sorted(corpus.ids[np.setdiff1d(places, gone)].tolist())


def meanings(corpus: Corpus, query: bytes) -> dict[int, float]:
    """Give each item's similarity with a query; of those that are there and have one."""
    found = np.round(cosine(corpus, query).astype(float), 4)
    left = there(corpus, np.flatnonzero(~np.isnan(found)))
    return {item: found[np.flatnonzero(corpus.ids == item)[-1]] for item in left}


@pytest.mark.parametrize("most_unsorted", [0, 20_000])
def test_a_corpus_of_which_nothing_has_changed_is_the_same_object(
    most_unsorted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.store.corpus._MOST_UNSORTED", most_unsorted)
    corpus = Corpus([(1, b"", b"", b"")], DIMS)
    assert corpus.changed([], [2, 3]) is corpus


def test_codes_of_items_are_those_of_their_vectors() -> None:
    chance = random.Random(1)
    vectors = [row(0, chance, coded=False)[3] for _ in range(20)]
    assert codes_of(vectors, DIMS) == [code_of(some, DIMS) for some in vectors]
