"""Values are shown as plain data, without the classes that they are of."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import ip_address
from pathlib import PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID

import numpy
import pydantic
import pytest

from clew.codec.allowed import allow
from clew.codec.failures import encode_failure, text_of_failure
from clew.codec.shown import shown
from clew.codec.values import encode
from clew.errors import UnreadableRecord


@dataclass
class Parcel:
    weight: int
    inside: Any = None


class Size(Enum):
    SMALL = 1


class Place(NamedTuple):
    row: int


class Account(pydantic.BaseModel):
    name: str
    token: pydantic.SecretStr


class Names(list[str]):
    pass


allow(Parcel, Size, Place, Account, Names)


def of(name: str) -> str:
    return f"{__name__}.{name}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, None, "é", 1.5, True]}, {"a": [1, None, "é", 1.5, True]}),
        ({1: "one"}, {"$type": "dict", "items": [[1, "one"]]}),
        ({(1, 2): 3}, {"$type": "dict", "items": [[[1, 2], 3]]}),
        (b"\x00", {"$type": "bytes", "base64": "AA=="}),
        (float("nan"), {"$type": "float", "value": "nan"}),
        (2**70, 2**70),
        ((1, {2}, frozenset({3}), deque([4]), range(2)), [1, [2], [3], [4], [0, 2, 1]]),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        (Counter("a"), {"a": 1}),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00"),
        (timedelta(seconds=90), "0:01:30"),
        ([Decimal("1.50"), Fraction(1, 3), UUID(int=1)], ["1.50", "1/3", str(UUID(int=1))]),
        ([PureWindowsPath("C:/a"), ip_address("::1")], ["C:\\a", "::1"]),
        (Parcel(2, [Parcel(1)]), {
            "$type": of("Parcel"), "weight": 2,
            "inside": [{"$type": of("Parcel"), "weight": 1, "inside": None}],
        }),
        (Size.SMALL, {"$type": of("Size"), "value": "SMALL"}),
        (Place(3), {"$type": of("Place"), "row": 3}),
        (Names(["a"]), {"$type": of("Names"), "value": ["a"]}),
        (numpy.zeros((2, 3)), {"$type": "numpy.ndarray", "dtype": "<f8", "shape": [2, 3]}),
        (numpy.float32(1.5), 1.5),
        (Account(name="ann", token=pydantic.SecretStr("hush")), {
            "$type": of("Account"), "name": "ann", "token": {"$type": "SecretStr", "value": "**********"},
        }),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_is_shown_as_json_can_carry_it(value: Any, expected: Any) -> None:
    told = shown(encode(value))
    assert told == expected
    json.dumps(told, allow_nan=False)


def test_nothing_is_imported_for_what_is_shown() -> None:
    data = encode([numpy.ones(3), Parcel(1), Account(name="a", token=pydantic.SecretStr("b"))])
    code = f"import sys; from clew.codec.shown import shown; shown({data!r}); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"numpy", "pydantic", __name__} & set(ended.stdout.split())


def test_an_error_is_told_without_its_class() -> None:
    name, text, traceback = text_of_failure(encode_failure(LookupError("no street")))
    assert (name, text, "LookupError" in traceback) == ("LookupError", "no street", True)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\xc1\x01" + bytes(40), b"\x92\x01", b"\xc7\x01\x42\x01"])
def test_damaged_bytes_are_refused(data: bytes) -> None:
    for show in (shown, text_of_failure):
        with pytest.raises(UnreadableRecord):
            show(data)


def test_a_value_of_a_kind_that_a_newer_clew_knows_is_shown_as_such() -> None:
    assert shown(b"\xd4\x7d\x01") == {"$type": "kind 125"}
