"""The walk that turns a value into what msgpack carries, and the refusal that names a place inside it.

It decides how containers nest and how a path is told. It does not know which types exist: a subclass says how each
kind is packed.

Everything that msgpack does not carry by itself becomes an extension: a code that names the kind, and the packed parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.msgpack import Ext

from clew.codec.plain import SCALARS, is_plain, pack

MOST_LEVELS = 128
LONG_INTEGER = 1
ODD_TEXT = 2
MAPPING = 3
_MOST_OF_A_KEY = 40


class Refusal(Exception):
    """Why a value cannot be recorded, and the way to it, innermost step first.

    Args:
        why: continues a sentence that begins with the path, such as ": a function cannot be recorded".
    """

    def __init__(self, why: str) -> None:
        self.why = why
        self.steps: list[str] = []
        self.holders: list[int] = []
        super().__init__(why)

    def passed(self, step: str, holder: object) -> None:
        """Note one step of the way, on the way out of a container."""
        self.steps.append(step)
        self.holders.append(id(holder))

    def told_of(self, name: str) -> str:
        """Return the whole sentence about the value called `name`."""
        steps, holders = self.steps[::-1], self.holders[::-1]
        first_seen: dict[int, int] = {}
        for depth, holder in enumerate(holders):
            start = first_seen.setdefault(holder, depth)
            if start < depth:
                inner, outer = name + "".join(steps[:depth]), name + "".join(steps[:start])
                return f"{inner} is {outer} itself: a value that contains itself cannot be recorded; break the cycle"
        return name + "".join(steps) + self.why


class TooDeep(Refusal):
    """More levels than a record may have, perhaps because a value contains itself."""


class Kind(Struct, frozen=True):
    """How the values of one kind are packed, and made again from their parts.

    Args:
        code: of the extension, 1 to 127; it never changes its meaning, for old records must stay readable.
        pack: (value, writer, depth) to what msgpack carries.
        unpack: the inverse; any exception it raises means that the bytes are damaged or do not fit this application.
    """

    code: int
    pack: Callable[[Any, Writer, int], Any]
    unpack: Callable[[Any], Any]


class Writer:
    """Walks a value. `depth` is the number of levels above."""

    # Whether to leave out what does not count when two objects are compared.
    only_what_compares = False

    def value(self, value: Any, depth: int) -> Any:
        """Return what msgpack carries in place of a value.

        Raises:
            Refusal: it cannot be read back, or holds something that cannot.
        """
        of = type(value)
        if of in SCALARS:
            return self.scalar(value)
        if depth > MOST_LEVELS:
            raise TooDeep(f": more than {MOST_LEVELS} levels deep; record a flatter value")
        if of is dict:
            return self.mapping(value, depth)
        if of is list:
            return self.items(value, depth)
        kind = self.kind_for(value)
        return Ext(kind.code, self.packed(kind.pack(value, self, depth + 1)))

    def kind_for(self, value: Any) -> Kind:
        """Return how a value that is not plain is packed, or raise Refusal."""
        raise NotImplementedError

    def packed(self, parts: Any) -> bytes:
        return pack(parts)

    def scalar(self, value: Any) -> Any:
        """Return text, bytes, numbers, True, False or None as they are: packing fails loudly if they do not fit."""
        return value

    def is_plain(self, value: Any) -> bool:
        return is_plain(value)

    def mapping(self, mapping: dict[Any, Any], depth: int) -> Any:
        if self.is_plain(mapping):
            return mapping
        for key in mapping:
            if type(key) not in SCALARS:
                return Ext(MAPPING, self.packed(self.entries(mapping, depth + 1)))
        return self.named(mapping, depth, "[{}]")

    def fields(self, fields: Mapping[str, Any], depth: int) -> Any:
        """Return the attributes of an object."""
        if type(fields) is dict and self.is_plain(fields):
            return fields
        return self.named(fields, depth, ".{}")

    def named(self, mapping: Mapping[Any, Any], depth: int, step: str) -> dict[Any, Any]:
        written, key = {}, None
        try:
            for key, value in mapping.items():
                written[self.scalar(key)] = self.value(value, depth + 1)
        except Refusal as refusal:
            refusal.passed(step.format(key if step == ".{}" else key_text(key)), mapping)
            raise
        return written

    def items(self, items: Iterable[Any], depth: int) -> list[Any]:
        """Return the items of a sequence."""
        written: list[Any] = []
        try:
            for item in items:
                written.append(self.value(item, depth + 1))
        except Refusal as refusal:
            refusal.passed(f"[{len(written)}]", items)
            raise
        return written

    def unordered(self, items: Iterable[Any], depth: int) -> list[Any]:
        """Return the elements of a set."""
        try:
            return [self.value(item, depth + 1) for item in items]
        except Refusal as refusal:
            refusal.passed("{…}", items)
            raise

    def entries(self, mapping: Mapping[Any, Any], depth: int) -> list[Any]:
        """Return the keys and values of a mapping in turn, for keys of any kind."""
        written: list[Any] = []
        for key, value in mapping.items():
            try:
                written.append(self.value(key, depth + 1))
            except Refusal as refusal:
                refusal.passed(f".keys()[{len(written) // 2}]", mapping)
                raise
            try:
                written.append(self.value(value, depth + 1))
            except Refusal as refusal:
                refusal.passed(f"[{key_text(key)}]", mapping)
                raise
        return written


class CarefulWriter(Writer):
    """A writer for values with integers of more than 64 bits, or with text that has lone surrogates."""

    def scalar(self, value: Any) -> Any:
        if type(value) is int and not -(2**63) <= value < 2**64:
            content = value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
            return Ext(LONG_INTEGER, self.packed(content))
        if type(value) is str and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                return Ext(ODD_TEXT, self.packed(value.encode("utf-8", "surrogatepass")))
        return value

    def is_plain(self, value: Any) -> bool:
        return False

    def mapping(self, mapping: dict[Any, Any], depth: int) -> Any:
        if any(type(key) not in SCALARS or self.scalar(key) is not key for key in mapping):
            return Ext(MAPPING, self.packed(self.entries(mapping, depth + 1)))
        return self.named(mapping, depth, "[{}]")


def key_text(key: object) -> str:
    """Return a short text for a key, without calling what a user wrote."""
    if type(key) in SCALARS and not (type(key) is int and key.bit_length() > 128):
        text = repr(key)
        return text if len(text) <= _MOST_OF_A_KEY else text[: _MOST_OF_A_KEY - 1] + "…"
    return f"<{type(key).__qualname__}>"
