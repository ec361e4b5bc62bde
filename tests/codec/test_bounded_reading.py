"""Forged bytes cost no more than their size: no value of theirs is gone through that they do not hold."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.msgpack import Ext

from clew.codec import allowed, declared
from clew.codec.failures import decode_failure
from clew.codec.growing import fold, unfold
from clew.codec.values import decode
from clew.errors import UnreadableRecord
from clew.store.values import decode_value
from codec import recordable_types as app
from codec.hostile_bytes import failures, pack, records

CHAIN = fold(["x" * 300], {}, lambda: "x").chains[()]
ENDLESS = Ext(12, pack([0, 10**15, 1]))  # range(10**15): going through it would take all memory
_relaxed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def ext(code: int, *parts: Any) -> Ext:
    return Ext(code, pack(parts[0] if len(parts) == 1 else parts))


def refused(read: Callable[[bytes], Any], data: bytes) -> bool:
    try:
        read(data)
    except UnreadableRecord:
        return True
    return False


@_relaxed
@given(records)
def test_forged_records_give_a_value_or_unreadable(data: bytes) -> None:
    refused(decode, data)


@_relaxed
@given(failures)
def test_forged_failures_give_an_exception_or_unreadable(data: bytes) -> None:
    refused(decode_failure, data)


@pytest.mark.parametrize("code", range(1, 72))
def test_an_endless_range_is_not_gone_through(code: int) -> None:
    for parts in (
        ENDLESS,
        [ENDLESS],
        [None, ENDLESS],
        [ENDLESS, None],
        ["list", ENDLESS],
        ["<f8", ENDLESS, b""],
        [f"{app.__name__}:Order", ENDLESS],
        [f"{app.__name__}:Customer", [{}, ENDLESS, None, None]],
        [f"{app.__name__}:Access", ENDLESS],
        [f"{app.__name__}:Basket", [ENDLESS, {}]],
        ["builtins:ValueError", [ENDLESS, [], {}, {}, None]],
        ["builtins:ExceptionGroup", [["x"], ENDLESS, {}, {}, None]],
        [2020, 1, 1, 0, 0, 0, 0, 0, ENDLESS],
    ):
        with contextlib.suppress(UnreadableRecord):
            value = decode(pack(ext(code, parts)))
            assert len(repr(value)) < 200  # it holds the range, and nothing that was made from it


def test_a_part_that_is_an_object_is_not_asked_for_anything() -> None:
    """An object of an allowed class has methods of its own: they are not called in place of a dict's."""
    order = ext(66, f"{app.__name__}:Order", {"number": 1, "lines": []})
    assert type(decode(pack(order))) is app.Order
    for code, name in [
        (66, "Order"),
        (67, "Point"),
        (68, "Parcel"),
        (69, "Customer"),
        (70, "Basket"),
        (71, "Declined"),
    ]:
        for parts in (order, [order] * 2, [order] * 4, [order] * 5):
            assert refused(decode, pack(ext(code, f"{app.__name__}:{name}", parts)))


def test_time_zones_are_not_looked_for_elsewhere() -> None:
    for key in ("../../etc/localtime", "/etc/localtime", "tzdata.zoneinfo/UTC", "a/../UTC", "UTC\0", "", "\ud800"):
        with pytest.raises(UnreadableRecord):
            decode(pack(ext(29, 1, ext(2, key.encode("utf-8", "surrogatepass")))))
        if key.isprintable():
            with pytest.raises(UnreadableRecord, match="no time zone"):
                decode(pack(ext(29, 1, key)))


def test_a_pattern_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert decode(pack(ext(19, "a|b", 128))).pattern == "a|b"
    assert capsys.readouterr().out == ""


def test_names_that_are_not_there_are_not_looked_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    monkeypatch.setattr(allowed, "types_named_by", lambda *args: looked.append(args) or set())
    functions = len(declared.declared())
    names = [f"nowhere:{number}" for number in range(5_000)]
    decode_failure(pack([names, "no such class"]))
    decode_failure(pack([["nowhere:x"], "m", "", [], {}, {}, [[[name], "m"] for name in names]]))
    assert len(looked) <= allowed._MOST_LOOKS * max(functions, 1)


def _nested(code: int) -> bytes:
    data = pack([])
    for _ in range(120):
        data = pack(Ext(code, data))
    return data


N = 20_000
LARGE: dict[str, tuple[Callable[[bytes], Any], bytes]] = {
    "a list": (decode, pack([None] * 1_000_000)),
    "nested lists": (decode, b"\x91" * 1_000_000),
    "claimed lengths": (decode, b"\xdc\xff\xff" * 300_000),
    "large claimed lengths": (decode, b"\xdd\x0f\xff\xff\xff" * 200_000),
    "claimed keys": (decode, b"\xdf\x0f\xff\xff\xff" * 200_000),
    "tuples": (decode, pack([ext(4, [n]) for n in range(N)])),
    "a set": (decode, pack(ext(5, list(range(200_000))))),
    "pairs": (decode, pack(ext(3, list(range(200_000))))),
    "a deque": (decode, pack(ext(7, None, list(range(200_000))))),
    "levels of tuples": (decode, _nested(4)),
    "a long integer": (decode, pack(ext(1, b"\x7f" * 1_000_000))),
    "a decimal": (decode, pack(ext(16, "9" * 1_000_000))),
    "a path": (decode, pack(ext(20, "PosixPath", "a/" * 500_000))),
    "an address": (decode, pack(ext(21, "IPv6Network", "1:" * 500_000))),
    "a pattern": (decode, pack(ext(19, "a|" * 100_000, 0))),
    "an array": (decode, pack(ext(40, "<f8", [100_000], bytes(800_000)))),
    "empty arrays": (decode, pack([ext(40, "<f8", [0, 2**40], b"")] * N)),
    "unknown fields": (decode, pack([ext(66, f"{app.__name__}:Order", {"number": 1, "lines": []})] * (N // 4))),
    "unknown classes": (decode_failure, pack([[f"a.b:{n}" for n in range(N // 4)], "m"])),
    "members of unknown classes": (
        decode_failure,
        pack([["a.b:x"], "m", "", [], {}, {}, [[[f"a.b:{n}"], "m"] for n in range(N // 4)]]),
    ),
    "arguments": (decode_failure, pack([["builtins:ValueError"], "m", "", [pack(n) for n in range(N)]])),
    "causes": (decode_failure, b"\x98\x91\xa1x\xa1m\xa0\x90\x80\x80\x90" * 100_000),
    "places of lists": (
        lambda data: unfold(data, {}),
        pack([pack({}), [[["a"] * 3, "x", 1]] * N]),
    ),
    "a deep place": (
        lambda data: unfold(data, {("a",) * N: CHAIN}),
        pack([pack({}), [[["a"] * N, "x", 1]]]),
    ),
    "JSON": (decode_value, b'{"a":[' + b"[]," * 300_000 + b"1]}"),
    "nested JSON": (decode_value, b'{"a":' * 200_000),
    "a number in JSON": (decode_value, b'{"a":' + b"9" * 1_000_000 + b"}"),
}


@pytest.mark.parametrize(("read", "data"), LARGE.values(), ids=LARGE)
def test_a_megabyte_is_read_or_refused_soon_and_in_little_memory(read: Callable[[bytes], Any], data: bytes) -> None:
    started_s = time.process_time()
    refused(read, data)
    assert time.process_time() - started_s < 4  # it takes well under one; a machine may be slow
    tracemalloc.start()
    try:
        refused(read, data)
        assert tracemalloc.get_traced_memory()[1] < 100 * len(data) + 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        pack([b"", []]),
        pack([pack(1), [[["a"], "x", 1]]]),
        pack([pack({}), [[["a"], "x", 1]]]),
        pack([pack({"a": 1}), [[["a", "b"], "x", 1]]]),
        pack([pack([]), [[[], "x", -1]]]),
        pack([pack([]), [[[], "x", 2**40]]]),
        pack([pack([]), [[[], "x", 2]]]),
        pack([pack([]), [[[], "y", 1]]]),
        pack([pack(ext(66, f"{app.__name__}:Order", {"number": 1, "lines": []})), [[["number"], "x", 1]]]),
    ],
)
def test_a_damaged_frame_is_unreadable(frame: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        unfold(frame, {(): CHAIN, ("a",): CHAIN, ("a", "b"): CHAIN, ("number",): CHAIN})


@pytest.mark.parametrize(
    "data", [b"", b"[1]", b"1", b"null", b"{", b'{"a":NaN}', b'{"a":1e999}', b"\xff", b'{"a":"\xff"}']
)
def test_a_memory_that_is_no_json_object_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableRecord, match="damaged"):
        decode_value(data)


def test_msgspec_is_as_careful_as_these_bounds_need() -> None:
    """What is claimed is not made room for before it is there."""
    tracemalloc.start()
    try:
        with pytest.raises(msgspec.DecodeError):
            msgspec.msgpack.decode(b"\xdd\x10\x00\x00\x00")
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
