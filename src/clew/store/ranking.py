"""Which items answer a query best: by meaning, by words, by both and their surroundings. Pure arithmetic on a corpus.

The constants were measured on conversations that answer questions; docs/decisions says how, and what else was tried.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache
from math import log1p
from typing import TYPE_CHECKING

from msgspec import Struct

from clew.store.context import named, reach, smooth
from clew.store.corpus import Corpus
from clew.store.operations import Explanation
from clew.store.parts import Whole
from clew.store.planning import PreparedSearch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

K1 = 0.4  # of BM25; its b is 0: how long an item is says nothing here
_MEANING, _WORDS = 0.5, 0.5
_WORDS_IN_CONTEXT = 1.0
_NAMED, _ASKS = 1.1, -0.25
LEAST_SCORED_AGAIN = 400
_LEAST_OF_ROUNDED = 8

FetchVectors = Callable[[Sequence[int]], dict[int, bytes]]


class Hit(Struct, frozen=True, kw_only=True):
    """One found item; `score` is None for what only fills the page."""

    id: int
    score: float | None = None
    why: Explanation | None = None


class _Scores(Struct, kw_only=True):
    """Per item; NaN where it has none."""

    total: NDArray[np.float32]
    meaning: NDArray[np.float32] | None = None
    words: NDArray[np.float32] | None = None
    context: NDArray[np.float32] | None = None


def rank(
    corpus: Corpus, search: PreparedSearch, allowed: Collection[int] | None, fetch: FetchVectors | None = None
) -> list[Hit]:
    """Give one page of hits, best first.

    Args:
        corpus: everything below the search's prefix, for word weights; or a part that stands for it.
        allowed: ids that may be found; None: all.
        fetch: gives the vectors of items; what a coded or rounded corpus finds is scored again by them.
    """
    import numpy as np

    if not len(corpus):
        return []
    scores = _scores(corpus, search)
    open_ = np.ones(len(corpus), bool) if allowed is None else np.isin(corpus.ids, list(allowed))
    if corpus.gone is not None:
        open_[corpus.gone] = False
    if (corpus.coded or corpus.rounded) and fetch is not None and scores.meaning is not None:
        _score_again(corpus, search, scores, open_, fetch)
    if search.min_score is not None:
        open_ &= scores.total >= search.min_score
    fills = search.mode != "keyword" and search.min_score is None
    best = _best_first(scores.total, open_, search.offset + search.limit, fills)
    return [_hit(corpus, scores, int(at), search.explain) for at in best[search.offset :]]


class _Term(Struct):
    """One term of the query: its weight, the items that have it, and how strongly each has it."""

    weight: float
    owners: NDArray[np.intp]
    strength: NDArray[np.float32]


def _scores(corpus: Corpus, search: PreparedSearch) -> _Scores:
    import numpy as np

    if search.mode == "semantic" and search.vector is not None:
        meaning = cosine(corpus, search.vector)
        return _Scores(total=meaning, meaning=meaning)
    terms = _find_terms(corpus, search.words)
    words = _bm25(corpus, terms)
    if search.mode == "keyword" or search.vector is None:
        return _Scores(total=np.where(words > 0, words, np.float32(np.nan)), words=words)
    return _both(corpus, search, cosine(corpus, weighted_query(corpus, search)), words, terms)


def _both(
    corpus: Corpus, search: PreparedSearch, meaning: NDArray[np.float32], words: NDArray[np.float32], terms: list[_Term]
) -> _Scores:
    """Add up meaning and words, each in standard deviations, and what surrounds an item.

    Sums of z-scores did better here than reciprocal ranks (Cormack, Clarke, Buettcher, SIGIR 2009).
    """
    import numpy as np

    whole, around = corpus.whole, corpus.surroundings
    standing = _standard(meaning, whole)
    total = alone = _weigh(_MEANING, standing) + _weigh(_WORDS, _standard(words, whole))
    in_context = around.ordered if search.context is None else search.context
    if in_context:
        reached = np.zeros(len(corpus), dtype=np.float32)
        for term in terms:
            reached += np.float32(term.weight) * reach(term.owners, term.strength, around)
        total = _weigh(_MEANING, smooth(standing, around)) + _weigh(_WORDS_IN_CONTEXT, _standard(reached, whole))
    if search.context is not False:
        # In context the sum spreads about twice as wide, so what is added to it does too.
        scale = 2 if in_context else 1
        total = total.copy() if total is alone else total
        total[around.asks] += np.float32(scale * _ASKS)
        for items in named(search.names, around):
            total[items] += scale * _NAMED
    squashed = _squashed(total)
    context = squashed - _squashed(alone) if search.explain else None
    if not corpus.one_vector_each:
        squashed[np.isnan(meaning) & (words <= 0)] = np.nan
    return _Scores(total=squashed, meaning=meaning, words=words, context=context)


def _score_again(
    corpus: Corpus, search: PreparedSearch, scores: _Scores, open_: NDArray[np.bool_], fetch: FetchVectors
) -> None:
    """Put the exact similarity of the most promising items in the place of the approximate one; close the others."""
    import numpy as np

    assert scores.meaning is not None  # checked by the caller
    most = max(LEAST_SCORED_AGAIN if corpus.coded else _LEAST_OF_ROUNDED, 4 * (search.offset + search.limit))
    chosen = _best_first(scores.total, open_, most, fills=False)
    vectors = fetch(corpus.ids[chosen[~np.isnan(scores.meaning[chosen])]].tolist())
    query = np.frombuffer(weighted_query(corpus, search), dtype="<f4")
    query = (query / (float(np.linalg.norm(query)) or 1.0)).astype(np.float32)
    exact = _best_similarities([vectors.get(i, b"") for i in corpus.ids[chosen].tolist()], query)
    moved = np.nan_to_num(exact - scores.meaning[chosen])
    if search.mode == "semantic":
        scores.total[chosen] = exact
    else:
        share = _MEANING / (_mean_and_spread(scores.meaning, corpus.whole)[1] or 1.0)
        scores.total[chosen] = _squashed(_spread_out(scores.total[chosen]) + _weigh(share, moved))
    scores.meaning[chosen] = exact
    scored = ~np.isnan(scores.total)
    scored[chosen] = False
    open_ &= ~scored


def _best_similarities(vectors: Sequence[bytes], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the best similarity of each item's vectors; NaN without vectors."""
    import numpy as np

    best = np.full(len(vectors), np.nan, dtype=np.float32)
    parts = np.array([len(v) // query.nbytes for v in vectors])
    per_vector = np.frombuffer(b"".join(vectors), dtype="<f4").reshape(-1, len(query)) @ query
    have = parts > 0
    if have.any():
        best[have] = np.maximum.reduceat(per_vector, (np.cumsum(parts) - parts)[have])
    return best


def cosine(corpus: Corpus, query: bytes) -> NDArray[np.float32]:
    """Give each item's best cosine similarity with the query; NaN without vectors."""
    import numpy as np

    per_vector = corpus.vectors.similarities_to(query)
    if corpus.one_vector_each:
        return per_vector
    best = np.full(len(corpus), -np.inf, dtype=np.float32)
    np.maximum.at(best, corpus.vector_owners, per_vector)
    best[np.isinf(best)] = np.nan
    return best


def _bm25(corpus: Corpus, terms: list[_Term]) -> NDArray[np.float32]:
    """Give each item's BM25 score, 0 where no term of the query occurs."""
    import numpy as np

    total = np.zeros(len(corpus), dtype=np.float32)
    for term in terms:
        total[term.owners] += np.float32(term.weight) * term.strength
    return total


def _find_terms(corpus: Corpus, terms: tuple[int, ...]) -> list[_Term]:
    """Find the items of each term, with the parts of BM25.

    Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
    """
    found = []
    for term in terms:
        owners, times = corpus.postings(term)
        found.append(_Term(_idf(corpus.size, corpus.having(term)), owners, _strengths()[times]))
    return found


@cache
def _strengths() -> NDArray[np.float32]:
    """Give how strongly an item has a term that it has 0, 1, ... 255 times."""
    import numpy as np

    times = np.arange(256)
    strengths: NDArray[np.float32] = (times * (K1 + 1) / (times + K1)).astype(np.float32)
    return strengths


def _idf(items: int, having: int) -> float:
    """Give the weight of a term by how many of the items have it; always positive, as in Lucene."""
    return log1p((items - having + 0.5) / (having + 0.5))


def weighted_query(corpus: Corpus, search: PreparedSearch) -> bytes:
    """Give the query's vector; where vectors add up, that of its words, the rare ones of this corpus counting more."""
    import numpy as np

    if not search.word_vectors or search.vector is None:
        return search.vector or b""
    weights = [_idf(corpus.size, corpus.having(term)) for term, _ in search.word_vectors]
    vectors = np.frombuffer(b"".join(v for _, v in search.word_vectors), dtype="<f4").reshape(len(weights), -1)
    weighted = np.array(weights, dtype="<f4") @ vectors
    return weighted.tobytes() if weighted.any() else search.vector


def _squashed(total: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring sums of z-scores between 0 and 1, in the same order; the largest, too, stay apart in 32 bits."""
    import numpy as np

    squashed: NDArray[np.float32] = (0.5 + 0.5 * total / (1 + np.abs(total))).astype(np.float32)
    return squashed


def _spread_out(squashed: NDArray[np.float32]) -> NDArray[np.float32]:
    """Undo `_squashed`."""
    import numpy as np

    from_middle = 2 * squashed - 1
    spread: NDArray[np.float32] = (from_middle / (1 - np.abs(from_middle))).astype(np.float32)
    return spread


def _weigh(share: float, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give a share of the scores, kept in 32 bits."""
    import numpy as np

    weighed: NDArray[np.float32] = np.multiply(scores, share, dtype=np.float32)
    return weighed


def _standard(scores: NDArray[np.float32], whole: Whole | None) -> NDArray[np.float32]:
    """Give z-scores; items without a score get the mean."""
    import numpy as np

    mean, spread = _mean_and_spread(scores, whole)
    if spread == 0:
        return np.zeros(len(scores), dtype=np.float32)
    standard: NDArray[np.float32] = scores - np.float32(mean)
    standard /= np.float32(spread)
    if np.isnan(standard.dot(standard)):
        standard[np.isnan(scores)] = 0.0
    return standard


def _mean_and_spread(scores: NDArray[np.float32], whole: Whole | None) -> tuple[float, float]:
    """Give mean and standard deviation of the scores there are; 0 where there are none. Of a part: of its whole."""
    import numpy as np

    known, weights = scores, None if whole is None else whole.weights
    total = float(np.add.reduce(known, dtype=np.float64))
    if total != total:  # some are missing
        there = ~np.isnan(scores)
        known, weights = scores[there], None if weights is None else weights[there]
        total = float(np.add.reduce(known, dtype=np.float64))
    if not len(known):
        return 0.0, 0.0
    if weights is None:
        mean = total / len(known)
        apart = known - np.float32(mean)
        return mean, float(apart.dot(apart) / len(known)) ** 0.5
    mean = float(np.average(known, weights=weights))
    return mean, float(np.average((known - mean) ** 2, weights=weights)) ** 0.5


def _best_first(total: NDArray[np.float32], open_: NDArray[np.bool_], most: int, fills: bool) -> NDArray[np.int64]:
    """Give the positions of the best: by score, then the newest first; unscored ones last, if they fill the page."""
    import numpy as np

    scored = np.flatnonzero(open_ & ~np.isnan(total))
    if len(scored) > most > 0:
        least = np.partition(total[scored], len(scored) - most)[len(scored) - most]
        scored = scored[total[scored] >= least]
    best = scored[np.lexsort((-scored, -total[scored]))][:most]
    if fills and len(best) < most:
        rest = np.flatnonzero(open_ & np.isnan(total))[::-1]
        best = np.concatenate([best, rest[: most - len(best)]])
    return best


def _hit(corpus: Corpus, scores: _Scores, at: int, explain: bool) -> Hit:
    score = _number(scores.total, at)
    why = (
        Explanation(
            meaning=_number(scores.meaning, at), words=_number(scores.words, at), context=_number(scores.context, at)
        )
        if explain
        else None
    )
    return Hit(id=int(corpus.ids[at]), score=score, why=why)


def _number(scores: NDArray[np.float32] | None, at: int) -> float | None:
    return None if scores is None or scores[at] != scores[at] else float(scores[at])
