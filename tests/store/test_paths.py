"""Which texts the paths of an index find."""

from __future__ import annotations

from typing import Any

import pytest

from clew.store.paths import leaf_texts, texts_at

VALUE: dict[str, Any] = {
    "title": "Dune",
    "n": 7,
    "yes": True,
    "none": None,
    "empty": {},
    "nothing": [],
    "author": {"name": "Frank", "born": {"year": 1920}},
    "parts": [{"text": "one", "page": 1}, {"text": "two"}, {"page": 3}],
    "tags": ["sand", "worm"],
    "a.b": "unreachable",
}


@pytest.mark.parametrize(
    ("path", "texts"),
    [
        ("title", ["Dune"]),
        ("n", ["7"]),
        ("yes", ["True"]),
        ("none", []),
        ("missing", []),
        ("empty", ["{}"]),
        ("nothing", ["[]"]),
        ("author", ['{"born": {"year": 1920}, "name": "Frank"}']),
        ("author.name", ["Frank"]),
        ("author.born.year", ["1920"]),
        ("tags", ['["sand", "worm"]']),
        ("tags[0]", ["sand"]),
        ("tags[-1]", ["worm"]),
        ("tags[2]", []),
        ("tags[*]", ["sand", "worm"]),
        ("parts[*].text", ["one", "two"]),
        ("parts[*].{text,page}", ["one", "1", "two", "3"]),
        ("{title,author.name}", ["Dune", "Frank"]),
        ("author.*", ["Frank", '{"year": 1920}']),
        ("title.deeper", []),
        ("title[0]", []),
        ("$.title", []),
        ("a.b", []),
        ("tags[", []),
        ("tags[x]", []),
        ("{title", []),
        ("..", []),
    ],
)
def test_a_path_finds(path: str, texts: list[str]) -> None:
    assert texts_at(VALUE, [path]) == texts


@pytest.mark.parametrize("path", ["$", ""])
def test_the_whole_is_json_with_sorted_keys(path: str) -> None:
    assert texts_at({"b": "ü", "a": [1, None]}, [path]) == ['{"a": [1, null], "b": "ü"}']


def test_leaves_are_texts_and_numbers_without_names() -> None:
    assert leaf_texts({"a": "x", "b": [1, True, None, {"c": 2.5}]}) == ["x", "1", "2.5"]
