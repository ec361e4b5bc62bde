"""Bytes as somebody might forge them: well-formed msgpack in which any value stands where any other was."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec.msgpack import Ext

pack = msgspec.msgpack.encode
_KNOWN_NAMES = [f"codec.recordable_types:{name}" for name in (
    "Access", "Basket", "Colour", "Customer", "Declined", "Level", "Line", "Mode", "Order", "Parcel", "Point",
    "Reading", "UserId",
)]  # fmt: skip
_names = st.sampled_from(
    [*_KNOWN_NAMES, "builtins:ValueError", "builtins:OSError", "builtins:ExceptionGroup", "builtins:UnicodeDecodeError",
     "builtins:object", "os:system", "", "list", "dict", "PosixPath", "IPv4Network", "SecretStr", "AnyUrl", "<f8",
     "<U9", "UTC"]
)  # fmt: skip
_numbers = st.sampled_from([0, 1, -1, 2, 3, 7, 255, 2**31, 2**62, 2**63 - 1, -(2**63), 2**64 - 1, 10**12])
_scalars = st.one_of(
    st.none(), st.booleans(), _numbers, st.floats(), _names, st.text(max_size=5), st.binary(max_size=9)
)  # fmt: skip
_codes = st.one_of(st.integers(1, 43), st.integers(60, 75), st.integers(0, 127))


def _ext(code: int, parts: Any) -> Ext:
    return Ext(code, pack(parts))


def _around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=9),
        st.dictionaries(st.one_of(_names, st.text(max_size=3), st.integers(0, 9)), inner, max_size=3),
        st.builds(_ext, _codes, inner),
        st.builds(lambda code, name, inner: _ext(code, [name, inner]), st.integers(64, 71), _names, inner),
        st.just(_ext(12, [0, 10**12, 1])),  # a range as long as memory is not
    )


parts = st.recursive(_scalars, _around, max_leaves=25)
records = parts.map(pack)


def _failure(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(
        st.lists(_names, max_size=3),
        st.text(max_size=5),
        st.text(max_size=5),
        st.lists(records, max_size=3),
        st.dictionaries(st.sampled_from(["__notes__", "code", "errno", "x"]), records, max_size=2),
        st.dictionaries(st.sampled_from(["errno", "filename", "name", "value"]), records, max_size=2),
        st.lists(inner, max_size=2),
        st.none() | inner,
        st.booleans(),
    )


#: Of failures, with any values where arguments and attributes were.
failures = st.recursive(st.tuples(st.lists(_names, max_size=2), st.text(max_size=5)), _failure, max_leaves=5).map(pack)
