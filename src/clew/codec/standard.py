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
from clew.codec.parts import exactly, numbers
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
    exactly(list, entries)
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


def _unpack_deque(parts: Any) -> Any:
    most, items = parts
    return deque(exactly(list, items), most if most is None else exactly(int, most))


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
    return getattr(pathlib, name)(exactly(str, text))


def _unpack_pattern(parts: Any) -> Any:
    import re

    pattern, flags = parts
    # The flags of a text pattern include re.UNICODE, which compile accepts. With re.DEBUG it would print.
    return re.compile(pattern if type(pattern) is bytes else exactly(str, pattern), exactly(int, flags) & ~re.DEBUG)


def _unpack_address(parts: Any) -> Any:
    import ipaddress

    name, text = parts
    if name not in _ADDRESSES or type(text) is not str:
        raise ValueError(f"no address type {name!r}")
    return getattr(ipaddress, name)(text)


def _unpack_decimal(parts: Any) -> Any:
    from decimal import Context, Decimal

    # A context of our own: the user's may trap or round what was recorded.
    return Decimal(exactly(str, parts), Context(traps=[]))


def _unpack_fraction(parts: Any) -> Any:
    from fractions import Fraction

    numerator, denominator = parts
    return Fraction(exactly(int, numerator), exactly(int, denominator))


def _unpack_complex(parts: Any) -> Any:
    real, imaginary = parts
    return complex(exactly(float, real), exactly(float, imaginary))


def _unpack_uuid(parts: Any) -> Any:
    from uuid import UUID

    return UUID(bytes=exactly(bytes, parts))


def _unpack_ellipsis(parts: Any) -> Any:
    if parts is not None:
        raise ValueError("an Ellipsis has no parts")
    return ...


_CONTAINERS = {
    "builtins:dict": Kind(MAPPING, lambda v, w, d: w.entries(v, d), lambda p: dict(pairs(p))),
    "builtins:tuple": Kind(4, lambda v, w, d: w.items(v, d), lambda p: tuple(exactly(list, p))),
    "builtins:set": Kind(5, lambda v, w, d: w.unordered(v, d), lambda p: set(exactly(list, p))),
    "builtins:frozenset": Kind(6, lambda v, w, d: w.unordered(v, d), lambda p: frozenset(exactly(list, p))),
    "collections:deque": Kind(7, _pack_deque, _unpack_deque),
    "collections:OrderedDict": Kind(8, lambda v, w, d: w.entries(v, d), lambda p: OrderedDict(pairs(p))),
    "collections:defaultdict": Kind(9, _pack_defaultdict, _unpack_defaultdict),
    "collections:Counter": Kind(10, lambda v, w, d: w.entries(v, d), _unpack_counter),
    "builtins:slice": Kind(
        11, lambda v, w, d: w.items((v.start, v.stop, v.step), d), lambda p: slice(*exactly(list, p))
    ),
    "builtins:range": Kind(12, lambda v, w, d: w.items((v.start, v.stop, v.step), d), lambda p: range(*numbers(p))),
}
_PATH = _atom(20, lambda value: [type(value).__name__, str(value)], _unpack_path)
_ADDRESS = _atom(21, lambda value: [type(value).__name__, str(value)], _unpack_address)
_ATOMS = {
    "builtins:bytearray": _atom(13, bytes, lambda p: bytearray(exactly(bytes, p))),
    "builtins:complex": _atom(14, lambda value: [value.real, value.imag], _unpack_complex),
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
    LONG_INTEGER: lambda p: int.from_bytes(exactly(bytes, p), "big", signed=True),
    ODD_TEXT: lambda p: exactly(bytes, p).decode("utf-8", "surrogatepass"),
    **{kind.code: kind.unpack for kind in (*_BY_NAME.values(), _ELLIPSIS)},
}
