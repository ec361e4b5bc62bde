"""Bytes to plain data for people, and for JSON: no class that bytes name is looked for, so none has to be known here.

A value of a class is shown as a dict with its class under "$type". Secrets of pydantic stay hidden. What is shown
cannot be turned back into the value: `values.decode` reads values.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable
from typing import Any

import msgspec

from clew.codec.objects import ENUM, EXCEPTION, FLAG, NAMED_TUPLE, OBJECT, PYDANTIC, STRUCT, SUBCLASS
from clew.codec.standard import STANDARD_UNPACK
from clew.codec.values import unreadable
from clew.codec.writing import MAPPING, MOST_LEVELS
from clew.errors import UnreadableRecord

TYPE = "$type"
_NUMBERS = {"f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H",
            "u4": "I", "u8": "Q", "b1": "?"}  # fmt: skip


def shown(data: bytes) -> Any:
    """Return what JSON can carry in place of an encoded value.

    Raises:
        UnreadableRecord: the bytes are damaged, or encrypted.
    """
    return as_json(read_parts(data))


def read_parts(data: bytes | bytearray | memoryview) -> Any:
    """Return an encoded value with what it has of its own, not yet as JSON; lists and dicts are where they were.

    Raises:
        UnreadableRecord: the bytes are damaged, or encrypted.
    """
    try:
        return _decoders[0](data)
    except UnreadableRecord:
        raise
    except RecursionError as error:
        raise UnreadableRecord("the record is nested too deeply to be shown") from error
    except Exception as error:
        raise unreadable(data, error) from error


def as_json(value: Any) -> Any:
    """Return what JSON can carry in place of what `read_parts` gave.

    Raises:
        UnreadableRecord: it is nested too deeply.
    """
    try:
        return _as_json(value)
    except RecursionError as error:
        raise UnreadableRecord("the record is nested too deeply to be shown") from error


def _as_json(value: Any) -> Any:
    of = type(value)
    if of is list:
        return [_as_json(item) for item in value]
    if of is dict:
        if all(type(key) is str for key in value):
            return {key: _as_json(item) for key, item in value.items()}
        return {TYPE: "dict", "items": [[_as_json(key), _as_json(item)] for key, item in value.items()]}
    if of is bytes:
        return {TYPE: "bytes", "base64": base64.b64encode(value).decode()}
    if of is float and not math.isfinite(value):
        return {TYPE: "float", "value": str(value)}
    return value


def _decoder(level: int) -> Callable[[Any], Any]:
    def show_extension(code: int, data: memoryview) -> Any:
        if level >= MOST_LEVELS:
            raise UnreadableRecord("the record is nested too deeply")
        show = _SHOW.get(code)
        return {TYPE: f"kind {code}"} if show is None else show(_decoders[level + 1](data))

    return msgspec.msgpack.Decoder(ext_hook=show_extension).decode


def _mapping(entries: Any) -> Any:
    pairs = list(zip(entries[::2], entries[1::2], strict=True))
    if all(type(key) is str for key, _ in pairs):
        return dict(pairs)
    return {TYPE: "dict", "items": [[key, value] for key, value in pairs]}


def _array(parts: Any) -> Any:
    dtype, shape, _ = parts
    return {TYPE: "numpy.ndarray", "dtype": dtype, "shape": shape}


def _number(parts: Any) -> Any:
    dtype, content = parts
    letter = _NUMBERS.get(dtype[1:])
    return (
        {TYPE: f"numpy {dtype}"} if letter is None else struct.unpack(dtype[0].replace("|", "<") + letter, content)[0]
    )


def _of_class(fields: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what shows an object from its class's name and its parts, given how its fields are found in these."""

    def show(parts: Any) -> Any:
        name, inner = parts
        found = fields(inner)
        about = found if type(found) is dict and TYPE not in found else {"value": found}
        return {TYPE: name.replace(":", ".").removeprefix("builtins."), **about}

    return show


def _text(code: int) -> Callable[[Any], str]:
    unpack = STANDARD_UNPACK[code]

    def show(parts: Any) -> str:
        try:
            return str(unpack(parts))
        except Exception:  # such as a time zone that this machine does not know
            return str(parts)

    return show


def _first(parts: Any) -> Any:
    return parts[0]


_SHOW: dict[int, Callable[[Any], Any]] = {
    1: STANDARD_UNPACK[1],
    2: STANDARD_UNPACK[2],
    **dict.fromkeys((4, 5, 6, 11, 12), list),  # tuple, set, frozenset, slice, range
    **dict.fromkeys((MAPPING, 8, 10), _mapping),  # dict, OrderedDict, Counter
    7: lambda parts: parts[1],  # deque
    9: lambda parts: _mapping(parts[1]),  # defaultdict
    13: lambda parts: parts,  # bytearray
    15: lambda parts: "...",
    **{code: _text(code) for code in (14, 16, 17, 18, *range(25, 30))},  # numbers and times
    19: _first,  # pattern
    **{code: lambda parts: parts[1] for code in (20, 21, 43)},  # path, address, URL
    40: _array,
    41: _number,
    42: lambda parts: {TYPE: parts[0], "value": "**********"},
    **{shape.code: _of_class(lambda fields: fields) for shape in (ENUM, FLAG, OBJECT, NAMED_TUPLE)},
    **{shape.code: _of_class(_first) for shape in (STRUCT, PYDANTIC, SUBCLASS, EXCEPTION)},
}
_decoders = [_decoder(level) for level in range(MOST_LEVELS + 1)]
