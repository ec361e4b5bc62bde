"""Which calls share a kept result: policies, keys, and the identity of functions."""

from __future__ import annotations

import array
import enum
import functools
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from clew.engine.caching import CachePolicy, cache_key, cache_namespace
from clew.engine.function_identity import function_identity

Function = Callable[..., Any]


def multiplied_by(factor: Any) -> Function:
    def multiply(x: int) -> Any:
        return x * factor

    return multiply


def compiled(source: str) -> Function:
    names: dict[str, Any] = {"__name__": "made"}
    exec(source, names)
    made: Function = names["f"]
    return made


class TestPolicy:
    def test_the_key_function_comes_before_the_lifetime(self) -> None:
        assert CachePolicy(str, 5) == CachePolicy(key_func=str, ttl=5)
        assert CachePolicy() == CachePolicy(None, None)

    @pytest.mark.parametrize("ttl", [-1, -0.5, float("nan")])
    def test_a_negative_lifetime_is_refused(self, ttl: float) -> None:
        with pytest.raises(ValueError, match="at least 0 seconds"):
            CachePolicy(ttl=ttl)

    @pytest.mark.parametrize("ttl", ["5", True])
    def test_a_lifetime_that_is_no_number_is_refused(self, ttl: Any) -> None:
        with pytest.raises(TypeError, match="seconds or None"):
            CachePolicy(ttl=ttl)

    def test_a_key_function_that_is_none_is_refused(self) -> None:
        with pytest.raises(TypeError, match="key_func"):
            CachePolicy(key_func="name")  # type: ignore[arg-type]


class TestKey:
    @staticmethod
    def fingerprint() -> bytes:
        return b"\x01\xff"

    def key(self, key_func: Function | None, *args: Any, **kwargs: Any) -> str:
        return cache_key(CachePolicy(key_func), args, kwargs, self.fingerprint)

    def test_the_key_function_gets_the_arguments_of_the_call(self) -> None:
        assert self.key(lambda a, b: f"{a}{b}", "x", b="y") == self.key(lambda a, b: "xy", 1, 2)

    def test_without_one_the_arguments_are_the_key(self) -> None:
        assert self.key(None, 1) == "arguments:01ff"

    def test_text_bytes_and_arguments_cannot_collide(self) -> None:
        keys = {self.key(None), self.key(lambda: "01ff"), self.key(lambda: b"\x01\xff"), self.key(lambda: "text:01ff")}
        assert len(keys) == 4

    def test_a_key_of_another_kind_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"text or bytes, not 7 \(int\)"):
            self.key(lambda: 7)

    def test_the_fingerprint_is_not_asked_for_where_a_key_function_is(self) -> None:
        def unreadable() -> bytes:
            raise AssertionError

        assert cache_key(CachePolicy(lambda x: "k"), (1,), {}, unreadable) == "text:k"

    def test_tasks_and_workflows_are_kept_apart(self) -> None:
        places = [
            cache_namespace("task", "f", "i"), cache_namespace("workflow", "f", "i"),
            cache_namespace("task", "g", "i"), cache_namespace("task", "f", "j"),
        ]  # fmt: skip
        assert len(set(places)) == len(places)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass
class Settings:
    model: str


class Multiplier:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, x: int) -> int:
        return x * self.factor

    def times(self, x: int) -> int:
        return x * self.factor

    def plus(self, x: int) -> int:
        return x + self.factor


class TestIdentity:
    def test_it_names_the_function(self) -> None:
        assert function_identity(multiplied_by).startswith(f"{__name__}.multiplied_by@")
        assert function_identity(len).startswith("builtins.len@")
        assert function_identity(functools.partial(multiplied_by, 2)).startswith(f"{__name__}.multiplied_by@")
        assert function_identity(Multiplier(2)).startswith(f"{__name__}.Multiplier@")
        assert function_identity(Multiplier(2).times).startswith(f"{__name__}.Multiplier.times@")

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (2, 3), (1, True), (1, 1.0), ("a", b"a"), (None, "None"), (float("nan"), float("inf")),
            ([1, 2], [2, 1]), ([1, 2], (1, 2)), (["a", "b"], ["a', 'b"]), ({"a": 1}, {"a": 2}), ({1, 2}, {1, 3}),
            (Colour.RED, Colour.BLUE), (Settings("a"), Settings("b")), (Decimal("1.0"), Decimal("1.00")),
            (date(2024, 1, 1), date(2024, 1, 2)), (Path("a"), Path("b")), (re.compile("a"), re.compile("a", re.I)),
            (uuid.UUID(int=1), uuid.UUID(int=2)), (array.array("i", [1]), array.array("i", [2])),
            (len, abs), (lambda: 1, lambda: 2), (multiplied_by(1), multiplied_by(2)), (str, int),
            (functools.partial(max, 1), functools.partial(max, 2)), (Multiplier(1).times, Multiplier(1).plus),
            (functools.lru_cache(lambda: 1), functools.lru_cache(lambda: 2)), ("a".upper, "b".upper),
            (object(), Multiplier(1)),
        ],
    )  # fmt: skip
    def test_functions_of_one_factory_differ_by_what_they_were_made_with(self, one: Any, other: Any) -> None:
        assert function_identity(multiplied_by(one)) != function_identity(multiplied_by(other))

    @pytest.mark.parametrize(
        "make",
        [
            lambda: 2, lambda: {"b": [1], "a": 2}, lambda: {"x", "y"}, lambda: Settings("a"), lambda: multiplied_by(3),
            object, lambda: Multiplier(1), lambda: array.array("i", [1]),
        ],
    )  # fmt: skip
    def test_functions_made_with_equal_values_are_the_same(self, make: Function) -> None:
        assert function_identity(multiplied_by(make())) == function_identity(multiplied_by(make()))

    def test_the_order_of_a_dict_does_not_matter(self) -> None:
        assert function_identity(multiplied_by({"a": 1, "b": len})) == function_identity(
            multiplied_by({"b": len, "a": 1})
        )

    @pytest.mark.parametrize(
        "changed",
        [
            "def f(x, y=1): return x + 2",
            "def f(x, y=1): return x - 1",
            "def f(x, y=2): return x + 1",
            "def f(x, *, y=1): return x + 1",
            "def f(x, y=1): return abs(x) + 1",
            "def f(x, y=1): return (lambda: x + 1)()",
            "async def f(x, y=1): return x + 1",
        ],
    )
    def test_changed_code_is_another_function(self, changed: str) -> None:
        assert function_identity(compiled(changed)) != function_identity(compiled("def f(x, y=1): return x + 1"))

    def test_a_change_deep_inside_counts(self) -> None:
        source = "def f():\n def g():\n  return [(lambda: {0})() for _ in 'x']\n return g"
        assert function_identity(compiled(source.format(1))) != function_identity(compiled(source.format(2)))

    def test_a_function_that_moved_in_its_file_is_the_same(self) -> None:
        source = "def f(x):\n  try:\n    return x in {'a', 'b'}\n  finally:\n    pass"
        assert function_identity(compiled(source)) == function_identity(compiled("\n\n\n" + source))

    def test_functions_of_one_code_under_two_names_differ(self) -> None:
        one, other = compiled("def f(): return 1"), compiled("def f(): return 1")
        other.__qualname__ = "g"
        assert function_identity(one) != function_identity(other)

    def test_a_decorated_function_counts_with_its_decorator(self) -> None:
        def doubled(f: Function) -> Function:
            return functools.wraps(f)(lambda x: f(x) * 2)

        plain, other = multiplied_by(1), multiplied_by(2)
        identities = {function_identity(f) for f in (plain, doubled(plain), doubled(other))}
        assert len(identities) == 3

    def test_callable_objects_and_bound_methods_count_with_their_attributes(self) -> None:
        objects = [function_identity(Multiplier(factor)) for factor in (2, 2, 3)]
        methods = [function_identity(Multiplier(factor).times) for factor in (2, 2, 3)]
        for two, again, three in (objects, methods):
            assert two == again != three

    def test_partials_count_with_their_arguments(self) -> None:
        made: list[Function] = [functools.partial(max, 1), functools.partial(max, 2), functools.partial(min, 1)]
        made.append(functools.partial(max, default=1))
        assert len({function_identity(function) for function in made}) == len(made)

    def test_functions_that_know_themselves_come_to_an_end(self) -> None:
        def parity(step: int) -> Function:
            def even(n: int) -> bool:
                return n == 0 or odd(n - step)

            def odd(n: int) -> bool:
                return n != 0 and even(n - step)

            return even

        assert function_identity(parity(1)) == function_identity(parity(1)) != function_identity(parity(2))

    def test_containers_that_hold_themselves_come_to_an_end(self) -> None:
        ring: list[Any] = [1]
        ring.append(ring)
        assert function_identity(multiplied_by(ring)) != function_identity(multiplied_by([1]))

    def test_a_name_that_has_no_value_yet_is_no_error(self) -> None:
        def make() -> Function:
            def early() -> Any:
                return late

            identities.append(function_identity(early))
            late = 1
            identities.append(function_identity(early))
            return early

        identities: list[str] = []
        make()
        assert identities[0] != identities[1]

    def test_a_class_can_be_what_is_called(self) -> None:
        assert function_identity(Multiplier) != function_identity(Settings)

    @pytest.mark.parametrize("decorator", [staticmethod, classmethod])
    def test_static_and_class_methods_count_by_their_function(self, decorator: Any) -> None:
        one, other = decorator(compiled("def f(x): return 1")), decorator(compiled("def f(x): return 2"))
        assert function_identity(multiplied_by(one)) != function_identity(multiplied_by(other))

    def test_other_processes_agree(self) -> None:
        source = (
            "def make(known):\n"
            "    def f(x): return x in {'a', 'b', 'c', 'd'} or x in known\n"
            "    return f\n"
            "f = make({'e', 'f', 'g', frozenset('xyz')})\n"
        )
        child = f"from clew.engine.function_identity import function_identity\n{source}print(function_identity(f))"
        seen = {
            subprocess.run(
                [sys.executable, "-c", child], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
                check=True, capture_output=True, text=True,
            ).stdout
            for seed in ("1", "2", "3")
        }  # fmt: skip
        assert len(seen) == 1

    def test_it_is_asked_of_the_function_as_it_is_now(self) -> None:
        assert isinstance(multiplied_by, FunctionType)
        function = multiplied_by(2)
        before = function_identity(function)
        function.__closure__[0].cell_contents = 3
        assert function_identity(function) == function_identity(multiplied_by(3)) != before
