"""The types of the standard library that can be recorded, and how each is packed and made again.

The codes and the shapes of the parts are kept in users' databases: add new ones, never change old ones.
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from types import EllipsisType
from typing import Any

from clew.codec.foreign import FOREIGN
from clew.codec.times import TIMES
from clew.codec.writing import LONG_INTEGER, MAPPING, ODD_TEXT, Kind, Refusal, Writer

_FACTORIES: dict[str, type] = {t.__name__: t for t in (list, dict, set, int, float, str, tuple, bool, bytes, deque)}
_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
_ADDRESSES = ("IPv4Address", "IPv6Address", "IPv4Network", "IPv6Network", "IPv4Interface", "IPv6Interface")


def standard_kind(of: type) -> Kind | None:
    """Return how a type of the standard library is packed, or None for all other types."""
    kind = known_kinds.get(of)
    if kind is None and (kind := _BY_NAME.get(f"{of.__module__}:{of.__qualname__}")):
        if getattr(sys.modules.get(of.__module__), of.__qualname__, None) is not of:
            return None
        known_kinds[of] = kind
    return kind


def _atom(code: int, pack: Callable[[Any], Any], unpack: Callable[[Any], Any]) -> Kind:
    """Return a kind whose values hold no other values."""
    return Kind(code, lambda value, writer, depth: pack(value), unpack)


def pairs(entries: list[Any]) -> zip[tuple[Any, Any]]:
    """Return (key, value) pairs of keys and values that stand in turn."""
    return zip(entries[::2], entries[1::2], strict=True)


def _pack_deque(value: deque[Any], writer: Writer, depth: int) -> Any:
    return [value.maxlen, writer.items(value, depth)]


def _pack_defaultdict(value: defaultdict[Any, Any], writer: Writer, depth: int) -> Any:
    factory = value.default_factory
    name = None if factory is None else getattr(factory, "__name__", "?")
    if name is not None and _FACTORIES.get(name) is not factory:
        raise Refusal(
            f": a defaultdict with the factory {name!r} cannot be recorded; "
            f"use one of {', '.join(_FACTORIES)}, or record dict(value)"
        )
    return [name, writer.entries(value, depth)]


def _unpack_defaultdict(parts: Any) -> Any:
    name, entries = parts
    return defaultdict(None if name is None else _FACTORIES[name], pairs(entries))


def _unpack_counter(parts: Any) -> Any:
    counter: Counter[Any] = Counter()
    dict.update(counter, pairs(parts))
    return counter


def _unpack_path(parts: Any) -> Any:
    import pathlib

    name, text = parts
    if name not in _PATHS:
        raise ValueError(f"no path type {name!r}")
    if name == "WindowsPath" and sys.platform != "win32":
        raise ValueError("a WindowsPath can be made on Windows alone; record a PureWindowsPath")
    if name == "PosixPath" and sys.platform == "win32":
        raise ValueError("a PosixPath cannot be made on Windows; record a PurePosixPath")
    return getattr(pathlib, name)(text)


def _unpack_pattern(parts: Any) -> Any:
    import re

    pattern, flags = parts
    # The flags of a text pattern include re.UNICODE, which compile accepts.
    return re.compile(pattern, flags)


def _unpack_address(parts: Any) -> Any:
    import ipaddress

    name, text = parts
    if name not in _ADDRESSES or type(text) is not str:
        raise ValueError(f"no address type {name!r}")
    return getattr(ipaddress, name)(text)


def _unpack_decimal(parts: Any) -> Any:
    from decimal import Context, Decimal

    # A context of our own: the user's may trap or round what was recorded.
    return Decimal(_of(str, parts), Context(traps=[]))


def _unpack_fraction(parts: Any) -> Any:
    from fractions import Fraction

    numerator, denominator = parts
    return Fraction(_of(int, numerator), _of(int, denominator))


def _unpack_uuid(parts: Any) -> Any:
    from uuid import UUID

    return UUID(bytes=_of(bytes, parts))


def _unpack_ellipsis(parts: Any) -> Any:
    if parts is not None:
        raise ValueError("an Ellipsis has no parts")
    return ...


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"expected {kind.__name__}, found {type(value).__name__}")
    return value


_CONTAINERS = {
    "builtins:dict": Kind(MAPPING, lambda v, w, d: w.entries(v, d), lambda p: dict(pairs(p))),
    "builtins:tuple": Kind(4, lambda v, w, d: w.items(v, d), tuple),
    "builtins:set": Kind(5, lambda v, w, d: w.unordered(v, d), set),
    "builtins:frozenset": Kind(6, lambda v, w, d: w.unordered(v, d), frozenset),
    "collections:deque": Kind(7, _pack_deque, lambda p: deque(p[1], p[0])),
    "collections:OrderedDict": Kind(8, lambda v, w, d: w.entries(v, d), lambda p: OrderedDict(pairs(p))),
    "collections:defaultdict": Kind(9, _pack_defaultdict, _unpack_defaultdict),
    "collections:Counter": Kind(10, lambda v, w, d: w.entries(v, d), _unpack_counter),
    "builtins:slice": Kind(
        11, lambda v, w, d: w.items((v.start, v.stop, v.step), d), lambda p: slice(p[0], p[1], p[2])
    ),
    "builtins:range": Kind(12, lambda v, w, d: w.items((v.start, v.stop, v.step), d), lambda p: range(*p)),
}
_PATH = _atom(20, lambda value: [type(value).__name__, str(value)], _unpack_path)
_ADDRESS = _atom(21, lambda value: [type(value).__name__, str(value)], _unpack_address)
_ATOMS = {
    "builtins:bytearray": _atom(13, bytes, lambda p: bytearray(_of(bytes, p))),
    "builtins:complex": _atom(14, lambda value: [value.real, value.imag], lambda p: complex(p[0], p[1])),
    "decimal:Decimal": _atom(16, str, _unpack_decimal),
    "fractions:Fraction": Kind(17, lambda v, w, d: w.items((v.numerator, v.denominator), d), _unpack_fraction),
    "uuid:UUID": _atom(18, lambda value: value.bytes, _unpack_uuid),
    "re:Pattern": Kind(19, lambda v, w, d: [w.value(v.pattern, d), v.flags], _unpack_pattern),
    **{f"ipaddress:{name}": _ADDRESS for name in _ADDRESSES},
    # Python 3.13 moved the classes of pathlib.
    **{f"{module}:{name}": _PATH for module in ("pathlib", "pathlib._local") for name in _PATHS},
}
_BY_NAME: dict[str, Kind] = {**_CONTAINERS, **_ATOMS, **TIMES, **FOREIGN}
_ELLIPSIS = _atom(15, lambda value: None, _unpack_ellipsis)
known_kinds: dict[type, Kind] = {EllipsisType: _ELLIPSIS}  # no builtin has its name

STANDARD_UNPACK: dict[int, Callable[[Any], Any]] = {
    LONG_INTEGER: lambda p: int.from_bytes(_of(bytes, p), "big", signed=True),
    ODD_TEXT: lambda p: _of(bytes, p).decode("utf-8", "surrogatepass"),
    **{kind.code: kind.unpack for kind in (*_BY_NAME.values(), _ELLIPSIS)},
}
