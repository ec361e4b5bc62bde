"""A strict print tells arguments apart by their content alone, and refuses those that have none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from clew.codec.fingerprint import fingerprint, strict_fingerprint
from clew.errors import NotRecordable


class Client:
    __slots__ = ()


@dataclass
class Request:
    client: Any
    amount: int


@pytest.mark.parametrize("argument", [1, "x", None, [1, {"a": (2,)}], {3, 4}, Request("c", 1), {(1, 2): b"x"}, 2**100])
def test_where_all_has_content_it_is_the_ordinary_print(argument: Any) -> None:
    assert strict_fingerprint((argument,), {"k": argument}) == fingerprint((argument,), {"k": argument})


@pytest.mark.parametrize(
    ("args", "kwargs", "place"),
    [
        ((1, Client()), {}, "argument 2: a .*Client has no content"),
        ((), {"client": [0, Client()]}, r"argument 'client'\[1\]: a .*Client has no content"),
        ((Request(Client(), 1),), {}, r"argument 1.client: a .*Client has no content"),
        (({Client(): 1},), {}, r"argument 1.keys\(\)\[0\]: a .*Client has no content"),
        ((lambda: 1,), {}, "argument 1: a builtins.function has no content"),
    ],
)
def test_what_has_none_is_refused_at_its_place(args: Any, kwargs: Any, place: str) -> None:
    fingerprint(args, kwargs)
    with pytest.raises(NotRecordable, match=place):
        strict_fingerprint(args, kwargs)


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(NotRecordable, match="contains itself"):
        strict_fingerprint((endless,), {})
