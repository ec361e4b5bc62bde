"""Any bytes give a value or UnreadableRecord, in bounded time and memory, and never run what they name."""

from __future__ import annotations

import contextlib
import json
import os
import time
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew.codec.failures import decode_failure, encode_failure
from clew.codec.values import decode, encode
from clew.errors import UnreadableRecord
from codec import recordable_types as app
from codec.value_strategies import values

_relaxed = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_seeds = [
    encode(app.Order(1, [app.Line("a", (1,))])),
    encode(app.Customer(name="A", since="2024-01-01T00:00:00Z", password="x")),
    encode([app.Point(1, {2}), app.Reading(1), app.Parcel(2), app.Access.READ, app.Declined(1, code="x")]),
    encode({(1, 2): [b"x", 2**70, 1.5, ..., range(3), slice(1)]}),
]


def _value_or_refusal(read: Any, data: bytes) -> None:
    with contextlib.suppress(UnreadableRecord):
        read(data)


@_relaxed
@given(st.binary(max_size=400))
def test_any_bytes_give_a_value_or_unreadable(data: bytes) -> None:
    _value_or_refusal(decode, data)
    _value_or_refusal(decode_failure, data)


@_relaxed
@given(st.integers(1, 127), st.recursive(st.integers() | st.text(max_size=4) | st.binary(max_size=9) | st.none(),
                                         lambda inner: st.lists(inner, max_size=4), max_leaves=9))  # fmt: skip
def test_any_parts_of_any_kind_give_a_value_or_unreadable(code: int, parts: Any) -> None:
    try:
        packed = msgspec.msgpack.encode(parts)
    except OverflowError:
        return
    _value_or_refusal(decode, msgspec.msgpack.encode(msgspec.msgpack.Ext(code, packed)))


@_relaxed
@given(st.data())
def test_cut_or_flipped_records_give_a_value_or_unreadable(data: st.DataObject) -> None:
    record = data.draw(st.one_of(st.sampled_from(_seeds), values.map(encode)))
    cut = data.draw(st.integers(0, len(record)))
    _value_or_refusal(decode, record[:cut])
    flipped = bytearray(record)
    for _ in range(data.draw(st.integers(1, 3))):
        flipped[data.draw(st.integers(0, len(record) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    _value_or_refusal(decode, bytes(flipped))


@_relaxed
@given(st.data())
def test_flipped_failures_give_an_exception_or_unreadable(data: st.DataObject) -> None:
    record = bytearray(encode_failure(app.Declined(1, code="x")))
    record[data.draw(st.integers(0, len(record) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    _value_or_refusal(decode_failure, bytes(record))


@pytest.mark.parametrize("record", _seeds)
def test_every_shortened_record_is_unreadable(record: bytes) -> None:
    for length in range(len(record)):
        with pytest.raises(UnreadableRecord):
            decode(record[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff" * 100,
        b"\xdf\xff\xff\xff\xff" * 100,
        b"\xc6\xff\xff\xff\xff",
        b"\xdc\xff\xff" * 900,
        b"\x01\x01",
        b'{"a": 1}',
        b"SQLite format 3\0",
    ],
    ids=lambda data: repr(data[:6]),
)
def test_hostile_bytes_are_unreadable_at_once(data: bytes) -> None:
    tracemalloc.start()
    started = time.perf_counter()
    try:
        with pytest.raises(UnreadableRecord):
            decode(data)
        assert time.perf_counter() - started < 1
        assert tracemalloc.get_traced_memory()[1] < 600_000_000
    finally:
        tracemalloc.stop()


def test_bytes_nested_without_end_are_unreadable() -> None:
    data = b"\x90"
    for _ in range(400):
        data = msgspec.msgpack.encode(msgspec.msgpack.Ext(4, data))
    with pytest.raises(UnreadableRecord, match="nested too deeply"):
        decode(data)


@pytest.mark.parametrize("code", range(64, 128))  # the kinds that name a class
@pytest.mark.parametrize("name", ["os:system", "builtins:eval", "subprocess:Popen", "codec.recordable_types:Stranger"])
def test_bytes_cannot_name_a_type_that_was_not_allowed(code: int, name: str) -> None:
    parts = [name, [["touch /tmp/clew-was-here"], {}, {}, {}, None]]
    with pytest.raises(UnreadableRecord):
        decode(msgspec.msgpack.encode(msgspec.msgpack.Ext(code, msgspec.msgpack.encode(parts))))
    assert not os.path.exists("/tmp/clew-was-here")


def test_reading_never_imports_what_bytes_name(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "booby_trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    record = encode(app.Order(1)).replace(b"codec.recordable_types:Order", b"booby_trap:OrderOrderOrderOr")
    with pytest.raises(UnreadableRecord, match="did not allow"):
        decode(record)


def test_old_json_of_other_libraries_is_not_called() -> None:
    constructor = {"lc": 2, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "true"}}
    assert decode(msgspec.msgpack.encode(constructor)) == constructor
    with pytest.raises(UnreadableRecord):
        decode(json.dumps(constructor).encode())


def test_kind_of_a_later_version_is_told() -> None:
    with pytest.raises(UnreadableRecord, match="does not know; upgrade it"):
        decode(msgspec.msgpack.encode(msgspec.msgpack.Ext(63, b"\xc0")))
