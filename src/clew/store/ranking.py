"""Which items answer a query best: by meaning, by words, by both. Pure arithmetic on a corpus."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clew.store.corpus import Corpus
from clew.store.operations import Explanation
from clew.store.planning import PreparedSearch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Measured on conversations (figures in docs/decisions): short memories gain from little saturation, no length norm.
_K1, _B = 0.4, 0.0
_MEANING_SHARE = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One found item; `score` is None for what only fills the page."""

    id: int
    score: float | None = None
    why: Explanation | None = None


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


@dataclass(slots=True, kw_only=True)
class _Scores:
    """Per item; NaN where it has none."""

    total: NDArray[np.float64]
    meaning: NDArray[np.float64] | None = None
    words: NDArray[np.float64] | None = None


def _scores(corpus: Corpus, search: PreparedSearch) -> _Scores:
    import numpy as np

    meaning = None if search.vector is None else cosine(corpus, search.vector)
    if search.mode == "semantic":
        assert meaning is not None  # a semantic search without a vector was refused
        return _Scores(total=meaning, meaning=meaning)
    words = bm25(corpus, search.words)
    if search.mode == "keyword" or meaning is None:
        return _Scores(total=np.where(words > 0, words, np.nan), words=words)
    total = _MEANING_SHARE * _standard(meaning) + (1 - _MEANING_SHARE) * _standard(words)
    total = np.where(np.isnan(meaning) & (words <= 0), np.nan, total)
    return _Scores(total=total, meaning=meaning, words=words)


def cosine(corpus: Corpus, query: bytes) -> NDArray[np.float64]:
    """Give each item's best cosine similarity with the query; NaN without vectors."""
    import numpy as np

    vector = np.frombuffer(query, dtype="<f4")
    length = float(np.linalg.norm(vector))
    per_vector = (corpus.vectors @ (vector / (length or 1.0)).astype(np.float32)).astype(np.float64)
    if corpus.one_vector_each:
        return per_vector
    best = np.full(len(corpus), -np.inf)
    np.maximum.at(best, corpus.owners, per_vector)
    return np.where(np.isinf(best), np.nan, best)


def bm25(corpus: Corpus, terms: tuple[int, ...]) -> NDArray[np.float64]:
    """Give each item's BM25 score, 0 where no term of the query occurs.

    Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009); the weight of a
    term is the always positive one of Lucene, log(1 + (N - n + .5) / (n + .5)).
    """
    import numpy as np

    total: NDArray[np.float64] = np.zeros(len(corpus))
    norm = _K1 * (1 - _B + _B * corpus.lengths / max(1.0, corpus.lengths.mean()))
    for term in terms:
        owners = np.searchsorted(corpus.ends, np.flatnonzero(corpus.terms == term), side="right")
        if len(owners):
            times = np.bincount(owners, minlength=len(corpus))
            found = np.count_nonzero(times)
            weight = np.log(1 + (len(corpus) - found + 0.5) / (found + 0.5))
            total += weight * times * (_K1 + 1) / (times + norm)
    return total


def _standard(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give z-scores; items without a score get the mean."""
    import numpy as np

    known = scores[~np.isnan(scores)]
    spread = known.std() if len(known) else 0.0
    if spread == 0:
        return np.zeros(len(scores))
    return np.nan_to_num((scores - known.mean()) / spread, nan=0.0)


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
    score = scores.total[at]
    why = Explanation(meaning=_number(scores.meaning, at), words=_number(scores.words, at)) if explain else None
    return Hit(id=int(corpus.ids[at]), score=None if score != score else float(score), why=why)


def _number(scores: NDArray[np.float64] | None, at: int) -> float | None:
    return None if scores is None or scores[at] != scores[at] else float(scores[at])
