"""Which values a memory may hold: JSON, the same on every engine, copied in and out. Nothing of databases."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import msgspec

from clew.errors import InvalidValue, UnreadableRecord

MAX_DEPTH = 128
_MOST = 2**31
_Place = tuple["_Place", object] | None  # the way into a value: where its container lies, and the step from there
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def check_key(key: object) -> str:
    """Give the key.

    Raises:
        InvalidValue: it is not text, or cannot be written as UTF-8.
    """
    if type(key) is str and key.isascii():
        return key
    if not isinstance(key, str):
        raise InvalidValue(f"a key is text, not {type(key).__name__}: {key!r}; turn it into a str")
    if (wrong := _unwritable(key)) is not None:
        raise InvalidValue(f"key {key!r} {wrong}")
    return str(key)


def copy_value(value: object) -> dict[str, Any]:
    """Give a copy of a memory's value, made of the exact JSON types.

    Args:
        value: a dictionary of JSON values. Tuples are kept as lists.

    Raises:
        InvalidValue: the message names the place inside the value.
    """
    if not isinstance(value, (dict, Mapping)):
        raise InvalidValue(f'a memory is a dictionary, not {type(value).__name__}: wrap it, as in {{"data": ...}}')
    copy: dict[str, Any] = _plain_container(value, None, 0)
    return copy


def encode_value(copy: dict[str, Any]) -> bytes:
    """Give the JSON bytes of what `copy_value` gave."""
    return _encode(copy)


def decode_value(data: bytes | str) -> dict[str, Any]:
    """Give a fresh copy of the value from its bytes.

    Raises:
        UnreadableRecord: they are no JSON object.
    """
    try:
        return _decode(data)
    except (ValueError, RecursionError) as error:
        if data[:1] in ('"', b'"'):  # no value is a text: see sealing
            raise UnreadableRecord("it is encrypted: open the database with its encryption keys") from error
        raise UnreadableRecord(f"it is damaged: {error}") from error


def read_value(data: bytes | str, namespace: tuple[str, ...], key: str) -> dict[str, Any]:
    """Give a fresh copy of the value that is kept at a place, as `decode_value` does; its errors name the place."""
    try:
        return _decode(data)
    except (ValueError, RecursionError):
        pass
    try:
        return decode_value(data)
    except UnreadableRecord as error:
        raise UnreadableRecord(f"memory {key!r} of {namespace!r} cannot be read: {error}") from error


def fits_64_bits(value: int) -> bool:
    """Say whether every database can hold a whole number. (Not by a range: one is searched for an IntEnum.)"""
    return -(2**63) <= value < 2**63


def _plain(value: object, place: _Place, depth: int) -> object:
    """Give a copy made of the exact JSON types, or say what is wrong and where."""
    if type(value) is str and value.isascii() and "\x00" not in value:  # nearly all there is
        return value
    if isinstance(value, str):
        if (wrong := _unwritable(value)) is not None:
            raise InvalidValue(f"{_shown(place)} {wrong}")
        if "\x00" in value:
            raise InvalidValue(f"{_shown(place)} contains a NUL character, which not every database keeps: remove it")
        return str.__str__(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not fits_64_bits(value):
            raise InvalidValue(f"{_shown(place)} is a whole number beyond 64 bits: keep it as text")
        return int(value)
    if isinstance(value, float):
        if not isfinite(value):
            raise InvalidValue(f"{_shown(place)} is {value}, which JSON cannot hold: keep None or text")
        return float(value)
    return _plain_container(value, place, depth)


def _plain_container(value: object, place: _Place, depth: int) -> Any:
    if depth >= MAX_DEPTH:
        raise InvalidValue(f"{_shown(place)[:60]}... is nested deeper than {MAX_DEPTH} levels, or contains itself")
    if isinstance(value, (dict, Mapping)):
        return {_plain_name(k, place): _plain(v, (place, k), depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, (place, i), depth + 1) for i, v in enumerate(value)]
    raise InvalidValue(
        f"{_shown(place)} is of type {type(value).__name__}, which is not JSON: keep text, numbers, lists, dicts"
    )


def _plain_name(name: object, place: _Place) -> str:
    if type(name) is str and name.isascii() and "\x00" not in name:
        return name
    if not isinstance(name, str):
        raise InvalidValue(f"{_shown(place)} has a key that is not text: {name!r}; turn it into a str")
    if (wrong := _unwritable(name)) is not None:
        raise InvalidValue(f"a key of {_shown(place)} {wrong}")
    if "\x00" in name:
        raise InvalidValue(f"a key of {_shown(place)} contains a NUL character: {name!r}; remove it")
    return str.__str__(name)


def _shown(place: _Place) -> str:
    """Give a place as Python writes it; made only for an error, for most values have none."""
    steps = []
    while place is not None:
        place, step = place
        steps.append(f"[{step!r}]")
    return "value" + "".join(reversed(steps))


def _unwritable(text: str) -> str | None:
    """Say why a text cannot be kept, if it cannot."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return f"cannot be written as UTF-8: {error.reason}"
    return None


def whole_number(value: object, name: str) -> int:
    """Give a number from 0 that counts items.

    Raises:
        InvalidValue: it is something else, or too large.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST:
        raise InvalidValue(f"{name} is a whole number from 0 to {_MOST - 1}, not {value!r}")
    return value
