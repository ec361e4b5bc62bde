"""What could not come back is refused when it is written; the message names the place and what to do."""

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime
import re
import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy
import pytest

from clew.codec.allowed import allow
from clew.codec.values import encode
from clew.errors import NotRecordable
from codec import recordable_types as app


@dataclass
class NeverNamed:
    """A class that no task names."""

    value: int = 0


class Odd(dict):  # type: ignore[type-arg]
    """A dict that nothing names."""


def _generator() -> Any:
    yield 1


class _Zone(datetime.tzinfo):
    pass


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"users": [1, 2, 3, app.Parcel(1, [len])]}, "result['users'][3].labels[0]: a function cannot be recorded"),
        ({"users": [{"f": lambda: 0}]}, "result['users'][0]['f']: a function cannot be recorded"),
        (app.Point(1, app.Customer(name="A", friends=[], since=None, extra=print)), "result.y.extra: a function"),
        ([app.Stranger()], "result[0]: a codec.recordable_types.Stranger cannot be recorded"),
        ({"a": {1, frozenset({NeverNamed})}}, "result['a']{…}{…}: a class cannot be recorded"),
        ({(1, NeverNamed): 2}, "result.keys()[0][1]: a class cannot be recorded"),
        ((1, threading), "result[1]: a module cannot be recorded"),
        ([_generator()], "result[0]: a generator cannot be recorded"),
        ([memoryview(b"x")], "result[0]: a memoryview cannot be recorded"),
        ({"k" * 99: len}, "result['" + "k" * 38 + "…]: a function"),
        (
            Odd(a=1),
            r"Odd is not allowed to come back; annotate the task with Odd, or pass entrypoint(..., allow=[Odd])",
        ),
        ([NeverNamed()], "NeverNamed is not allowed to come back; annotate the task with NeverNamed"),
        (defaultdict(lambda: 1), "result: a defaultdict with the factory '<lambda>' cannot be recorded"),
        (datetime.datetime(2024, 1, 1, tzinfo=_Zone()), "_Zone cannot be recorded; use datetime.timezone or zoneinfo"),
        (numpy.array([object()]), "numpy values of dtype object cannot be recorded"),
        ([numpy.ma.array([1])], "MaskedArray cannot be recorded"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_refusal_names_the_place_and_the_way_out(value: Any, told: str) -> None:
    with pytest.raises(NotRecordable, match=re.escape(told)):
        encode(value)


def test_name_of_the_value_begins_the_message() -> None:
    with pytest.raises(NotRecordable, match=r"^input\['x'\]: a function"):
        encode({"x": len}, "input")


def test_refusal_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        encode(object())


class TestUnfinished:
    def test_future_that_nobody_awaited_is_named(self) -> None:
        with pytest.raises(NotRecordable, match=r"^result is a future that nobody awaited; call .result\(\) or await"):
            encode(concurrent.futures.Future())

    def test_asyncio_future_is_named(self) -> None:
        async def make() -> None:
            with pytest.raises(NotRecordable, match=r"result\['f'\] is a future that nobody awaited"):
                encode({"f": asyncio.get_running_loop().create_future()})

        asyncio.run(make())

    def test_object_that_is_both_awaitable_and_has_a_result_is_a_future(self) -> None:
        class Both:
            def result(self) -> int:
                raise AssertionError

            def __await__(self) -> Any:
                raise AssertionError

        with pytest.raises(NotRecordable, match="is a future that nobody awaited"):
            encode(Both())

    def test_coroutine_is_named(self) -> None:
        async def later() -> None: ...

        coroutine = later()
        with pytest.raises(NotRecordable, match="is a coroutine that nobody awaited"):
            encode(coroutine)
        coroutine.close()


class TestCycles:
    def test_list_that_contains_itself_is_refused_by_name(self) -> None:
        value: list[Any] = [1]
        value.append({"again": value})
        with pytest.raises(NotRecordable, match=r"^result\[1\]\['again'\] is result itself: .*break the cycle"):
            encode(value)

    def test_list_that_contains_itself_many_times_is_refused_soon(self) -> None:
        value: list[Any] = []
        value.extend([value] * 200)
        with pytest.raises(NotRecordable, match="itself"):
            encode(value)

    def test_cycle_through_an_object_is_refused_by_name(self) -> None:
        parcel = app.Parcel(1, [])
        parcel.labels.append((parcel,))
        with pytest.raises(NotRecordable, match=r"result\['p'\].labels\[0\]\[0\].* is result\['p'\].* itself"):
            encode({"p": parcel})

    def test_value_that_is_shared_but_not_cyclic_is_recorded(self) -> None:
        shared = [(1,)]
        encode({"a": shared, "b": shared})

    @pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"k": v}, lambda v: {1: v, (1,): 2}])
    def test_value_nested_too_deeply_is_refused(self, wrap: Any) -> None:
        value: Any = 1
        for _ in range(100_000):
            value = wrap(value)
        with pytest.raises(NotRecordable, match="levels deep; record a flatter value"):
            encode(value)
        while isinstance(value, (list, tuple, dict)) and value:  # freed level by level
            value = next(iter(value.values())) if isinstance(value, dict) else value[0]


def test_state_is_read_without_calling_what_a_user_wrote() -> None:
    class Guarded(app.Parcel):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"{name} was read through the class")

    allow(Guarded)
    encode(object.__new__(Guarded))
