"""The filter language, row by row."""

from __future__ import annotations

from typing import Any

import pytest

from clew.errors import InvalidFilter
from clew.store.filters import matches, parse_filter

VALUE: dict[str, Any] = {
    "text": "zebra",
    "n": 3,
    "x": 1.5,
    "yes": True,
    "none": None,
    "tags": ["red", 1, ["deep"]],
    "sub": {"a": {"b-c": 5}, "list": [{"k": "v"}]},
    "0key": "digit",
}
NAN, INFINITY, HUGE = float("nan"), float("inf"), 10**30


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ({}, True),
        (None, True),
        ({"text": "zebra"}, True),
        ({"text": "Zebra"}, False),
        ({"n": 3}, True),
        ({"n": 3.0}, True),
        ({"n": "3"}, False),
        ({"yes": True}, True),
        ({"yes": 1}, False),
        ({"n": True}, False),
        ({"none": None}, True),
        ({"missing": None}, True),
        ({"missing": 0}, False),
        ({"tags": ["red", 1, ["deep"]]}, True),
        ({"tags": ("red", 1, ["deep"])}, True),
        ({"tags": ["red"]}, False),
        ({"sub": {"a": {"b-c": 5}, "list": [{"k": "v"}]}}, True),
        ({"sub": {"a": {"b-c": 5}}}, False),
        ({"sub": {}}, False),
        ({"sub.a.b-c": 5}, True),
        ({"sub.list.0.k": "v"}, True),
        ({"sub.list.1.k": "v"}, False),
        ({"tags.0": "red"}, True),
        ({"0key": "digit"}, True),
        ({"text.0": "z"}, False),
        ({"text": "zebra", "n": 4}, False),
        ({"n": {"$eq": 3}}, True),
        ({"n": {"$ne": 3}}, False),
        ({"missing": {"$ne": 3}}, True),
        ({"missing": {"$ne": None}}, False),
        ({"n": {"$gt": 2, "$lt": 4}}, True),
        ({"n": {"$gt": 2, "$lt": 3}}, False),
        ({"n": {"$gte": 3}}, True),
        ({"n": {"$lte": 2.9}}, False),
        ({"n": {"$gt": "2"}}, False),
        ({"n": {"$lt": INFINITY}}, True),
        ({"n": {"$gt": -INFINITY}}, True),
        ({"n": {"$lt": HUGE}}, True),
        ({"n": {"$gt": HUGE}}, False),
        ({"n": NAN}, False),
        ({"n": {"$ne": NAN}}, True),
        ({"n": {"$lt": NAN}}, False),
        ({"n": {"$gte": NAN}}, False),
        ({"yes": {"$gt": 0}}, False),
        ({"text": {"$gt": "apple"}}, True),
        ({"text": {"$lt": "apple"}}, False),
        ({"text": {"$gt": 1}}, False),
        ({"none": {"$lt": 1}}, False),
        ({"tags": {"$gt": []}}, False),
        ({"n": {"$in": [1, 3]}}, True),
        ({"n": {"$in": []}}, False),
        ({"n": {"$nin": [1, 2]}}, True),
        ({"missing": {"$in": [None]}}, True),
        ({"missing": {"$nin": [1]}}, True),
        ({"tags": {"$in": ["red"]}}, False),
        ({"none": {"$exists": True}}, True),
        ({"missing": {"$exists": False}}, True),
        ({"sub.a": {"$exists": True}}, True),
        ({"tags": {"$contains": "red"}}, True),
        ({"tags": {"$contains": ["deep"]}}, True),
        ({"tags": {"$contains": True}}, False),
        ({"text": {"$contains": "ebr"}}, True),
        ({"text": {"$contains": "EBR"}}, False),
        ({"n": {"$contains": 3}}, False),
        ({"n": {"$not": {"$gt": 5}}}, True),
        ({"n": {"$not": {"$gt": 2, "$lt": 4}}}, False),
        ({"$and": [{"n": 3}, {"text": "zebra"}]}, True),
        ({"$or": [{"n": 4}, {"text": "zebra"}]}, True),
        ({"$or": [{"n": 4}, {"text": "lion"}]}, False),
        ({"$not": {"n": 3}}, False),
        ({"$or": [{"$and": [{"n": 3}, {"$not": {"x": 1}}]}, {"n": 9}], "yes": True}, True),
        ({"text": "'; DROP TABLE clew_items; --"}, False),
    ],
)
def test_a_filter_means(source: Any, holds: bool) -> None:
    assert matches(parse_filter(source), VALUE) is holds


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"a": {"$regex": "x"}}, r"Unsupported operator '\$regex'"),
        ({"a": {"$gt": 1, "plain": 2}}, "Unsupported operator 'plain'"),
        ({"a'": 1}, "Invalid filter key"),
        ({"a b": 1}, "Invalid filter key"),
        ({"a)": 1}, "Invalid filter key"),
        ({"": 1}, "Invalid filter key"),
        ({"a..b": 1}, "Invalid filter key"),
        ({".a": 1}, "Invalid filter key"),
        ({"$nor": []}, "Invalid filter key"),
        ({1: 1}, "Invalid filter key"),
        ({"$and": []}, "at least one"),
        ({"$or": {"a": 1}}, "at least one"),
        ({"$not": 1}, "dictionary"),
        ({"a": {"$in": "abc"}}, "takes a list"),
        ({"a": {"$exists": 1}}, "True or False"),
        ({"a": {"$not": 3}}, "takes conditions"),
        ({"a": object()}, "JSON"),
        ({"a": {1, 2}}, "JSON"),
        ({"a": {"b": {2: 3}}}, "JSON"),
        ([("a", 1)], "dictionary"),
        ("a", "dictionary"),
    ],
)
def test_what_is_no_filter_is_refused_by_name(source: Any, message: str) -> None:
    with pytest.raises(InvalidFilter, match=message):
        parse_filter(source)


def test_a_bottomless_filter_is_refused() -> None:
    source: dict[str, Any] = {"a": 1}
    for _ in range(5000):
        source = {"$not": source}
    with pytest.raises(InvalidFilter, match="nested"):
        parse_filter(source)
    operand: list[Any] = []
    operand.append(operand)
    with pytest.raises(InvalidFilter):
        parse_filter({"a": operand})
