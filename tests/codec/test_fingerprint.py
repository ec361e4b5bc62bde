"""Equal arguments have equal prints, in every process; others differ. Descriptions are short and call nothing."""

from __future__ import annotations

import dataclasses
import datetime
import subprocess
import sys
from decimal import Decimal
from typing import Any

import numpy
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings

from clew.codec.fingerprint import describe, fingerprint
from clew.codec.values import decode, encode
from codec import recordable_types as app
from codec.value_strategies import values


def of(*args: Any, **kwargs: Any) -> bytes:
    return fingerprint(args, kwargs)


@dataclasses.dataclass
class NeverNamed:
    value: Any
    seen_at: float = dataclasses.field(default=0.0, compare=False)


class NeverNamedModel(pydantic.BaseModel):
    value: Any = None
    key: pydantic.SecretStr = pydantic.SecretStr("")


def test_print_has_sixteen_bytes() -> None:
    assert {len(of()), len(of(1)), len(of(object()))} == {16}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values)
def test_value_that_came_back_has_the_print_of_the_one_that_was_recorded(value: Any) -> None:
    assert of(decode(encode(value)), x=[value]) == of(value, x=[decode(encode(value))])


@pytest.mark.parametrize(
    "different",
    [
        (1, True, 1.0, "1", b"1", Decimal(1), None, 2**64, 2**65),
        ([], (), {}, set(), "", b"", None, frozenset()),
        ([1], (1,), {1}, {1: None}, {"1": None}),
        ([[1], 2], [1, [2]], [[1, 2]], [1, 2]),
        (app.Point(1), app.Point(2), app.Point(1, 1), (1, 0), app.Reading(1), app.Reading(2), app.Parcel(1)),
        (app.UserId("a"), app.UserId("b"), "a", app.Basket([1]), app.Basket([2]), [1]),
        (ValueError(1), ValueError(2), KeyError(1), app.Access.READ, app.Access.WRITE | app.Access.READ),
        (app.Colour.RED, app.Colour.BLUE, app.Level.LOW, 1),
        (NeverNamed(1), NeverNamed(2), NeverNamed(True), NeverNamedModel(value=1), {"value": 1}),
        (numpy.array([1, 2]), numpy.array([1, 3]), numpy.array([1.0, 2.0]), numpy.array([[1, 2]]), [1, 2]),
        (object(), app.Stranger(), len, "builtins:object"),
        (datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1), "2024-01-01"),
    ],
    ids=lambda different: type(different[0]).__name__,
)
def test_different_values_and_types_have_different_prints(different: tuple[Any, ...]) -> None:
    for wrap in (lambda value: value, lambda value: [value], lambda value: {"k": (value,)}):
        assert len({of(wrap(value)) for value in different}) == len(different)


def test_place_and_keyword_count() -> None:
    assert len({of(1, 2), of(2, 1), of(1, a=2), of(1, b=2), of((1, 2)), of([1, 2]), of(1, 2, None), of(a=1, b=2)}) == 8


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"d": 2, "c": 1}, "a": 1}),
        ({"a": (1,), 2: {3}}, {2: {3}, "a": (1,)}),
        ({1: "x", 2: "y"}, {2: "y", 1: "x"}),
        ({"x", "y", (1, "z")}, {(1, "z"), "y", "x"}),
        (app.Order(1, [app.Line("a")]), app.Order(1, [app.Line("a")])),
        (NeverNamed({"a": 1, "b": (2,)}, 1.0), NeverNamed({"b": (2,), "a": 1}, 2.0)),
        (app.Customer(name="A"), app.Customer(name="A", friends=[])),
        (object(), object()),
        ({"client": app.Stranger()}, {"client": app.Stranger()}),
    ],
)
def test_equal_values_have_equal_prints(one: Any, other: Any) -> None:
    assert of(one) == of(other)
    assert of(x=[one]) == of(x=[other])


def test_order_of_keywords_does_not_count() -> None:
    assert fingerprint((), {"a": 1, "b": (2,)}) == fingerprint((), {"b": (2,), "a": 1})
    assert fingerprint((), {"a": 1, "b": 2}) == fingerprint((), {"b": 2, "a": 1})


def test_renewed_secret_is_no_other_call() -> None:
    assert of(NeverNamedModel(key="old")) == of(NeverNamedModel(key="new"))


def test_value_that_contains_itself_counts_by_its_type() -> None:
    one: list[Any] = []
    one.extend([one, one])
    assert of(one) == of(one)


def test_prints_are_equal_in_every_process() -> None:
    script = (
        "from clew.codec.fingerprint import fingerprint\n"
        "print(fingerprint(({'x', 'y', 'z', ('a',)}, {'b': 1, 'a': (2,)}, object()), {'k': frozenset('abc')}).hex())"
    )
    prints = {
        subprocess.run([sys.executable, "-c", script], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
                       capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2", "77")
    }  # fmt: skip
    assert len(prints) == 1


class TestDescription:
    def test_scalars_are_shown_and_long_things_counted(self) -> None:
        assert describe(("bob", [1, 2, 3, 4]), {"amount": 5}) == "'bob', [4 items…], amount=5"

    @pytest.mark.parametrize(
        ("value", "told"),
        [
            ((), "()"),
            ((1,), "(1,)"),
            ({"a": 1}, "{'a': 1}"),
            ({"a": [1, 2]}, "{'a': [2 items…]}"),
            ({i: i for i in range(9)}, "{9 keys…}"),
            (app.Colour.RED, "Colour.RED"),
            (app.Line("tea", (1,)), "Line(name='tea', prices=(1 item…))"),
            (app.Point(1, "a"), "Point(x=1, y='a')"),
            (app.Stranger(), "<Stranger>"),
            (len, "<builtin_function_or_method>"),
            (10**99, "<int of 329 bits>"),
            (pydantic.SecretStr("secret"), "<SecretStr>"),
            (Decimal("1.5"), "Decimal('1.5')"),
        ],
    )
    def test_value_is_told_briefly(self, value: Any, told: str) -> None:
        assert describe((value,), {}) == told

    def test_line_is_short_whatever_it_tells(self) -> None:
        text = describe(tuple("x" * 1000 for _ in range(50)), {"k" * 300: {"a" * 99: "b" * 99}})
        assert len(text) <= 200
        assert "\n" not in describe(("two\nlines", NeverNamed("a\nb")), {})

    def test_nothing_that_a_user_wrote_is_called(self) -> None:
        class Loud:
            def __repr__(self) -> str:
                raise AssertionError

            __str__ = __len__ = __hash__ = __repr__  # type: ignore[assignment]

        from collections import Counter, OrderedDict, deque

        class LoudText(str):
            __slots__ = ()
            __repr__ = Loud.__repr__

        assert describe((Loud(), [Loud()], NeverNamed(Loud())), {"a": LoudText("x"), "b": {1: Loud()}})
        assert describe((OrderedDict(a=Loud()), deque([Loud()]), slice(Loud())), {"c": Counter(a=Loud())})

    def test_cycle_ends(self) -> None:
        one: list[Any] = []
        one.append(one)
        assert describe((one,), {}) == "[[1 item…]]"
