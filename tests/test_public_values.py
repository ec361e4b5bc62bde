"""The small values that people make and get: compared, copied, shown and kept like any value, and never changed."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from clew import CachePolicy, Command, Interrupt, Output, RetryPolicy, Runtime, TimeoutPolicy, entrypoint
from clew.codec.allowed import allow
from clew.codec.values import decode, encode

VALUES: list[tuple[Any, Any, str]] = [
    (RetryPolicy(1, 3, 9, 2), RetryPolicy(initial_interval=1, backoff_factor=3, max_interval=9, max_attempts=2), ""),
    (CachePolicy(None, 5), CachePolicy(ttl=5), "CachePolicy(key_func=None, ttl=5)"),
    (
        TimeoutPolicy(run_timeout=1), TimeoutPolicy(run_timeout=1),
        "TimeoutPolicy(run_timeout=1, idle_timeout=None, refresh_on='auto')",
    ),
    (entrypoint.final(value=1, save=2), entrypoint.final(save=2, value=1), "final(value=1, save=2)"),
    (Output(value=1), Output(value=1, interrupts=()), "Output(value=1, interrupts=())"),
    (Runtime(previous=1), Runtime(previous=1), ""),
    (Interrupt("?", "a" * 32), Interrupt(value="?", id="a" * 32), f"Interrupt(value='?', id='{'a' * 32}')"),
    (Command(resume=1), Command(resume=1), "Command(resume=1, update=None, goto=())"),
]  # fmt: skip
NAMED = [type(value).__name__ for value, *_ in VALUES]


@pytest.mark.parametrize(("value", "same", "shown"), VALUES, ids=NAMED)
class TestPublicValues:
    def test_they_are_equal_when_their_parts_are(self, value: Any, same: Any, shown: str) -> None:
        assert value == same
        assert hash(value) == hash(same)
        assert [other for other, *_ in VALUES if other == value] == [value]

    def test_they_show_their_parts(self, value: Any, same: Any, shown: str) -> None:
        assert repr(value) == shown or not shown

    def test_they_cannot_be_changed(self, value: Any, same: Any, shown: str) -> None:
        name = repr(value).partition("(")[2].partition("=")[0]
        with pytest.raises(AttributeError):
            setattr(value, name, 7)
        assert value == same

    def test_their_copies_are_equal(self, value: Any, same: Any, shown: str) -> None:
        assert copy.copy(value) == copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize("value", [value for value, *_ in VALUES if not isinstance(value, RetryPolicy | Runtime)])
def test_those_without_functions_can_be_recorded(value: Any) -> None:
    allow(type(value))
    assert decode(encode(value)) == value


def test_a_policy_with_a_function_can_be_compared() -> None:
    assert RetryPolicy(retry_on=callable) == RetryPolicy(retry_on=callable) != RetryPolicy()


def test_the_types_of_their_parts_may_be_named_where_they_are_made() -> None:
    assert entrypoint.final[int, list[int]](value=1, save=[2]) == entrypoint.final(value=1, save=[2])
    assert Runtime[str](context="ann").context == "ann"
    assert Output[int](value=1).value == 1
