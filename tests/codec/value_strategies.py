"""Hypothesis strategies for values of every kind that can be recorded, nested in each other."""

from __future__ import annotations

import datetime
import ipaddress
import pathlib
import re
import string
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

from hypothesis import strategies as st

from codec.recordable_types import Access, Basket, Colour, Level, Line, Mode, Order, Parcel, Point, Reading, UserId

_text = st.text(st.characters(), max_size=8)  # lone surrogates and NUL among them
_zones = st.one_of(
    st.none(),
    st.just(datetime.UTC),
    st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23)).map(datetime.timezone),
    st.sampled_from(["UTC"]).map(lambda key: __import__("zoneinfo").ZoneInfo(key)),
)
_hashable_atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**100), 2**100),
    st.floats(allow_nan=False),
    _text,
    st.binary(max_size=8),
    st.datetimes(timezones=_zones),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.complex_numbers(allow_nan=False),
    st.uuids(),
    st.ip_addresses(),
    st.sampled_from([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_interface("::1/64")]),
    st.sampled_from([Colour.RED, Colour.BLUE, Level.LOW, Mode.FAST, Access.READ, Access.READ | Access.RUN, Access(0)]),
    st.text(string.printable, max_size=8).map(pathlib.PurePosixPath),
    st.text(string.printable, max_size=8).map(pathlib.PureWindowsPath),
    st.sampled_from([re.compile("a+", re.I | re.S), re.compile(b"[0-9]")]),
    st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 3)),
    st.just(...),
    _text.map(UserId),
)
_hashable = st.recursive(
    _hashable_atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.frozensets(inner, max_size=3),
        st.builds(Point, inner, inner),
        st.builds(Line, _text, st.lists(inner, max_size=2).map(tuple)),
    ),
    max_leaves=4,
)
_atoms = st.one_of(_hashable, st.binary(max_size=8).map(bytearray), st.builds(slice, st.integers(), st.integers()))


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    pairs = st.dictionaries(_hashable, inner, max_size=3)
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(_text, inner, max_size=4),
        pairs,
        pairs.map(OrderedDict),
        pairs.map(lambda d: defaultdict(list, d)),
        st.dictionaries(_hashable, st.integers(), max_size=3).map(Counter),
        st.sets(_hashable, max_size=3),
        st.lists(inner, max_size=3).map(lambda items: deque(items, 5)),
        st.lists(inner, max_size=3).map(Basket),
        st.builds(Point, inner, inner),
        st.builds(Reading, inner),
        st.builds(Parcel, st.integers(), st.lists(inner, max_size=2)),
        st.builds(Order, st.integers(), st.lists(inner, max_size=2)),
    )


values = st.recursive(_atoms, _containers, max_leaves=12)


def same(left: Any, right: Any) -> bool:
    """Say whether two values are equal and of equal types at every depth, zero's sign and order included."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return len(left) == len(right) and all(
            same(one, other) for one, other in zip(left.items(), right.items(), strict=True)
        )
    if isinstance(left, (list, tuple, deque)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, (set, frozenset)):
        return left == right and {(type(x), x) for x in left} == {(type(x), x) for x in right}
    if isinstance(left, (float, complex)):
        return repr(left) == repr(right)
    if isinstance(left, slice):
        return same((left.start, left.stop, left.step), (right.start, right.stop, right.step))
    if isinstance(left, (datetime.datetime, datetime.time)):
        return left == right and left.fold == right.fold and same(left.tzinfo, right.tzinfo)
    if isinstance(left, (Order, Parcel, Reading, Line)):
        names = getattr(left, "__dict__", None) or type(left).__annotations__
        return all(same(getattr(left, n), getattr(right, n)) for n in names if n != "made")
    return bool(left == right)
