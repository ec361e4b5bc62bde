"""Which items answer a query best: by meaning, by words, by both and their surroundings. Pure arithmetic on a corpus.

The constants were measured on conversations that answer questions; docs/decisions says how, and what else was tried.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clew.store.context import named, reach, smooth
from clew.store.corpus import Corpus
from clew.store.operations import Explanation
from clew.store.planning import PreparedSearch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_K1, _B = 0.4, 0.0
_MEANING, _WORDS = 0.5, 0.5
_WORDS_IN_CONTEXT = 1.0
_NAMED, _ASKS = 1.1, -0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One found item; `score` is None for what only fills the page."""

    id: int
    score: float | None = None
    why: Explanation | None = None


@dataclass(slots=True, kw_only=True)
class _Scores:
    """Per item; NaN where it has none."""

    total: NDArray[np.float64]
    meaning: NDArray[np.float64] | None = None
    words: NDArray[np.float64] | None = None
    context: NDArray[np.float64] | None = None


def rank(corpus: Corpus, search: PreparedSearch, allowed: Collection[int] | None) -> list[Hit]:
    """Give one page of hits, best first.

    Args:
        corpus: everything below the search's prefix: word weights come from all of it.
        allowed: ids that may be found; None: all.
    """
    import numpy as np

    if not len(corpus):
        return []
    scores = _scores(corpus, search)
    open_ = np.ones(len(corpus), bool) if allowed is None else np.isin(corpus.ids, list(allowed))
    if search.min_score is not None:
        open_ &= scores.total >= search.min_score
    fills = search.mode != "keyword" and search.min_score is None
    best = _best_first(scores.total, open_, search.offset + search.limit, fills)
    return [_hit(corpus, scores, int(at), search.explain) for at in best[search.offset :]]


def _scores(corpus: Corpus, search: PreparedSearch) -> _Scores:
    import numpy as np

    if search.mode == "semantic" and search.vector is not None:
        meaning = cosine(corpus, search.vector)
        return _Scores(total=meaning, meaning=meaning)
    found = find_terms(corpus, search.words)
    weights = idf(len(corpus), np.count_nonzero(found, axis=1))
    words = (weights @ found).astype(np.float64)
    if search.mode == "keyword" or search.vector is None:
        return _Scores(total=np.where(words > 0, words, np.nan), words=words)
    meaning = cosine(corpus, _weighted_query(corpus, search))
    return _both(corpus, search, meaning, words, found, weights)


def _both(
    corpus: Corpus,
    search: PreparedSearch,
    meaning: NDArray[np.float64],
    words: NDArray[np.float64],
    found: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> _Scores:
    """Add up meaning and words, each in standard deviations, and what surrounds an item.

    Sums of z-scores did better here than reciprocal ranks (Cormack, Clarke, Buettcher, SIGIR 2009).
    """
    import numpy as np

    around = corpus.surroundings
    alone = _MEANING * _standard(meaning) + _WORDS * _standard(words)
    in_context = search.context if search.context is not None else around.ordered
    if in_context:
        reached = (weights @ reach(found, around)).astype(np.float64)
        total = _MEANING * smooth(_standard(meaning), around) + _WORDS_IN_CONTEXT * _standard(reached)
    else:
        total = alone
    if search.context is not False:
        # In context the sum spreads about twice as wide, so what is added to it does too.
        total = total + (2 if in_context else 1) * (_NAMED * named(search.names, around) + _ASKS * around.asks)
    unscored = np.isnan(meaning) & (words <= 0)
    squashed = 1 / (1 + np.exp(-total))
    context = squashed - 1 / (1 + np.exp(-alone))
    return _Scores(total=np.where(unscored, np.nan, squashed), meaning=meaning, words=words, context=context)


def cosine(corpus: Corpus, query: bytes) -> NDArray[np.float64]:
    """Give each item's best cosine similarity with the query; NaN without vectors."""
    import numpy as np

    vector = np.frombuffer(query, dtype="<f4")
    length = float(np.linalg.norm(vector))
    per_vector = (corpus.vectors @ (vector / (length or 1.0)).astype(np.float32)).astype(np.float64)
    if corpus.one_vector_each:
        return per_vector
    best = np.full(len(corpus), -np.inf)
    np.maximum.at(best, corpus.vector_owners, per_vector)
    return np.where(np.isinf(best), np.nan, best)


def find_terms(corpus: Corpus, terms: tuple[int, ...]) -> NDArray[np.float32]:
    """Give per term and item how strongly the item has it, 0 where not: BM25 before the weight of the term.

    Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
    """
    import numpy as np

    found = np.zeros((len(terms), len(corpus)), dtype=np.float32)
    norm = _K1 * (1 - _B + _B * corpus.lengths / max(1.0, corpus.lengths.mean()))
    for row, term in zip(found, terms, strict=True):
        owners = corpus.owners[corpus.terms == term]
        if len(owners):
            times = np.bincount(owners, minlength=len(corpus))
            row[:] = times * (_K1 + 1) / (times + norm)
    return found


def idf(items: int, having: NDArray[np.intp]) -> NDArray[np.float32]:
    """Give the weight of terms by how many of the items have them; always positive, as in Lucene."""
    import numpy as np

    weights: NDArray[np.float32] = np.log1p((items - having + 0.5) / (having + 0.5)).astype(np.float32)
    return weights


def _weighted_query(corpus: Corpus, search: PreparedSearch) -> bytes:
    """Give the query's vector; where vectors add up, that of its words, the rare ones of this corpus counting more."""
    import numpy as np

    if not search.word_vectors:
        return search.vector or b""
    vectors = np.frombuffer(b"".join(v for _, v in search.word_vectors), dtype="<f4")
    having = np.array([_having(corpus, term) for term, _ in search.word_vectors])
    weighted = idf(len(corpus), having) @ vectors.reshape(len(having), -1)
    return bytes(weighted.astype("<f4").tobytes()) if weighted.any() else search.vector or b""


def _having(corpus: Corpus, term: int) -> int:
    import numpy as np

    return len(np.unique(corpus.owners[corpus.terms == term]))


def _standard(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give z-scores; items without a score get the mean."""
    import numpy as np

    known = scores[~np.isnan(scores)]
    spread = known.std() if len(known) else 0.0
    if spread == 0:
        return np.zeros(len(scores))
    standard: NDArray[np.float64] = np.nan_to_num((scores - known.mean()) / spread, nan=0.0)
    return standard


def _best_first(total: NDArray[np.float64], open_: NDArray[np.bool_], most: int, fills: bool) -> NDArray[np.int64]:
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


def _number(scores: NDArray[np.float64] | None, at: int) -> float | None:
    return None if scores is None or scores[at] != scores[at] else float(scores[at])
