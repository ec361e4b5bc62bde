"""What a store may be made with: every wrong shape is refused, and named."""

from __future__ import annotations

from typing import Any

import pytest

from clew import InMemoryStore, SqliteStore
from clew.errors import UsageError


def embed(texts: list[str]) -> list[list[float]]:
    return [[1.0] for _ in texts]


def test_the_distance_of_those_who_name_it_is_the_cosine() -> None:
    assert InMemoryStore(index={"embed": embed, "distance_type": "cosine"}).settings.embedder is not None


@pytest.mark.parametrize("make", [InMemoryStore, lambda **settings: SqliteStore(":memory:", **settings)])
@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"index": 5}, "index is a dictionary"),
        ({"index": "local"}, "index is a dictionary"),
        ({"index": [("embed", embed)]}, "index is a dictionary"),
        ({"index": {}}, "needs an embedder"),
        ({"index": {"embed": embed, "dim": 3}}, r"unknown index settings \['dim'\]"),
        ({"index": {"embed": embed, 3: 4}}, r"unknown index settings \[3\]"),
        ({"index": {"embed": 5}}, "5 is no embedder"),
        ({"index": {"embed": embed, "dims": "3"}}, "dims"),
        ({"index": {"embed": embed, "dims": 0}}, "dims"),
        ({"index": {"embed": embed, "dims": True}}, "dims"),
        ({"index": {"embed": embed, "fields": "text"}}, r"\['text'\]"),
        ({"index": {"embed": embed, "fields": [1]}}, "list of paths"),
        ({"index": {"embed": embed, "fields": 7}}, "list of paths"),
        ({"index": {"embed": embed, "model": 3}}, r"index\['model'\]"),
        ({"index": {"embed": embed, "stem": "porter"}}, r"index\['stem'\]"),
        ({"index": {"embed": embed, "ignored_words": "the"}}, r"index\['ignored_words'\]"),
        ({"index": {"embed": embed, "ignored_words": 3}}, r"index\['ignored_words'\]"),
        ({"index": {"embed": embed, "ignored_words": [3]}}, r"index\['ignored_words'\]"),
        ({"index": {"embed": embed, "context": "yes"}}, r"index\['context'\]"),
        ({"index": {"embed": embed, "distance_type": "l2"}}, r"'distance_type'\] is 'cosine', not 'l2'"),
        ({"search_mode": "hybrid", "index": {"dims": 3, "model": "mine"}}, "dims, model: given without embed"),
        ({"ttl": 5}, "ttl is a dictionary"),
        ({"ttl": "5"}, "ttl is a dictionary"),
        ({"ttl": {"default": 5}}, r"unknown ttl settings \['default'\]"),
        ({"ttl": {"default_ttl": "5"}}, "number of minutes"),
        ({"ttl": {"default_ttl": -1}}, "number of minutes"),
        ({"ttl": {"sweep_interval_minutes": 0}}, "number of minutes"),
        ({"ttl": {"refresh_on_read": "no"}}, "refresh_on_read"),
        ({"history": 5}, "history is"),
        ({"search_mode": "fuzzy"}, "'fuzzy' is unknown"),
        ({"search_mode": "semantic"}, "needs an embedder"),
    ],
)
def test_a_wrong_setting_is_refused_and_named(make: Any, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        make(**settings)
