"""Values to bytes and back. What is written can be read: a value that could not come back is refused at once.

This file decides what is refused and how it is told. How each kind of value is packed is decided in its own file.
"""

from __future__ import annotations

from collections.abc import Callable
from types import BuiltinFunctionType, CoroutineType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from clew.codec.allowed import find, is_allowed, name_of, package_to_import
from clew.codec.encryption import SEALED
from clew.codec.objects import SHAPES, Shape, shape_of
from clew.codec.plain import SCALARS, is_plain, is_plain_type, pack
from clew.codec.standard import STANDARD_UNPACK, known_kinds, standard_kind
from clew.codec.writing import MOST_LEVELS, CarefulWriter, Kind, Refusal, Writer
from clew.errors import NotRecordable, UnreadableRecord

_TOO_DEEP = ": nested too deeply; record a flatter value"


def encode(value: Any, name: str = "result") -> bytes:
    """Return the bytes of a value.

    Args:
        value: what to record; it is not changed.
        name: what the value is called in the message of an error, such as "result" or "input".

    Raises:
        NotRecordable: the value, or something inside it, could not be read back. The message names the place.
    """
    try:
        if type(value) in SCALARS or is_plain(value):
            return pack(value)
    except (OverflowError, UnicodeEncodeError, RecursionError):
        pass  # the careful walk below carries it, or names the place
    return _encode_walking(value, name)


def decode(data: bytes | bytearray | memoryview) -> Any:
    """Return the value that `encode` made these bytes from.

    Raises:
        UnreadableRecord: the bytes are damaged, or name a type that this application did not allow.
    """
    try:
        return _decoders[0](data)
    except UnreadableRecord:
        raise
    except RecursionError as error:
        raise UnreadableRecord("the record is nested too deeply to be read here") from error
    except Exception as error:
        raise unreadable(data, error) from error


def unreadable(data: bytes | bytearray | memoryview, error: Exception) -> UnreadableRecord:
    """Return what to raise for bytes that give no value, because of an error."""
    if bytes(data[:1]) == SEALED[:1]:
        return UnreadableRecord("the record is encrypted: open the database with its keys, Database(encryption=...)")
    return UnreadableRecord(f"the record is damaged: {error!s:.300}")


def _encode_walking(value: Any, name: str) -> bytes:
    try:
        try:
            return pack(_VALUES.value(value, 0))
        except (OverflowError, UnicodeEncodeError):
            return pack(_CAREFUL_VALUES.value(value, 0))
    except Refusal as refusal:
        message = refusal.told_of(name)
    except RecursionError:
        message = name + _TOO_DEEP
    except Exception as error:
        # An object of a broken class: its own state cannot be read.
        message = f"{name}: reading the value raised {type(error).__name__}: {error}"
    raise NotRecordable(message)


class ValueWriter(Writer):
    """Writes what can be read back, and refuses the rest."""

    def kind_for(self, value: Any) -> Kind:
        of = type(value)
        kind = known_kinds.get(of) or _kinds_of_users.get(of)
        if kind is None and (kind := standard_kind(of)) is None:
            shape = shape_of(of)
            if shape is None or not is_allowed(of):
                raise Refusal(_why_not(value, shape))
            kind = _kinds_of_users[of] = named_kind(of, shape)
        return kind


class CarefulValueWriter(CarefulWriter, ValueWriter):
    """The same for values with very large integers or odd text."""


def named_kind(cls: type, shape: Shape) -> Kind:
    """Return how the objects of a class are packed together with its name."""
    name = name_of(cls)

    def pack_named(value: Any, writer: Writer, depth: int) -> Any:
        return [name, shape.pack(value, writer, depth)]

    return Kind(shape.code, pack_named, _unpacker_of(shape))


def _unpacker_of(shape: Shape) -> Callable[[Any], Any]:
    def unpack_named(parts: Any) -> Any:
        name, inner = parts
        return shape.unpack(_class_of(name, shape), inner)

    return unpack_named


def _class_of(name: Any, shape: Shape) -> type:
    cls = find(name) if isinstance(name, str) else None
    if cls is None:
        if isinstance(name, str) and (module := package_to_import(name)):
            raise UnreadableRecord(f"the record holds a {name}; import {module} in this process before reading it")
        raise UnreadableRecord(
            f"the record holds a {name!r}, which this application did not allow here: "
            "annotate a task or workflow with it, or pass entrypoint(..., allow=[...])"
        )
    if shape_of(cls) is not shape:
        raise UnreadableRecord(f"{name} was recorded as a {shape.name} and is now of another kind")
    return cls


_NAMESAKES = {"Command", "entrypoint"}  # of ours in LangGraph: left over where only some imports were changed


def _why_not(value: Any, shape: Shape | None) -> str:
    """Say why a value cannot be recorded, and what to do."""
    of = type(value)
    full_name = f"{of.__module__}.{of.__qualname__}"
    if of.__module__.partition(".")[0] == "langgraph" and (name := of.__qualname__.partition(".")[0]) in _NAMESAKES:
        return f": {full_name} means nothing here; import {name} from clew"
    if shape is not None:
        return (
            f": the {shape.name} {full_name} is not allowed to come back; "
            f"annotate the task with {of.__name__}, or pass entrypoint(..., allow=[{of.__name__}])"
        )
    if hasattr(of, "result") and (hasattr(of, "__await__") or hasattr(of, "add_done_callback")):
        return " is a future that nobody awaited; call .result() or await it"
    for kinds, text in _REASONS:
        if issubclass(of, kinds):
            return text
    return (
        f": a {full_name} cannot be recorded; "
        "return plain data, a dataclass, a pydantic model or another type made of fields"
    )


_REASONS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (CoroutineType, " is a coroutine that nobody awaited; await it"),
    (
        (FunctionType, MethodType, BuiltinFunctionType),
        ": a function cannot be recorded; record its name, or what it returns",
    ),
    (type, ": a class cannot be recorded; record its name"),
    (ModuleType, ": a module cannot be recorded; record its name"),
    (GeneratorType, ": a generator cannot be recorded; record list(...) of it"),
    (memoryview, ": a memoryview cannot be recorded; record bytes(...) of it"),
    (BaseException, ": an exception without a class of its own cannot be recorded; record its text"),
    (
        (str, int, float, bytes, bytearray, tuple, list, set, frozenset, dict),
        ": a subclass of a builtin type that keeps state of its own cannot be recorded; record the builtin value",
    ),
)


def _decoder(level: int) -> Callable[[Any], Any]:
    def unpack_extension(code: int, data: memoryview) -> Any:
        if level >= MOST_LEVELS:
            raise UnreadableRecord("the record is nested too deeply")
        unpack = _UNPACK.get(code)
        if unpack is None:
            raise UnreadableRecord(
                f"the record holds a value of kind {code}, which this clew does not know; upgrade it"
            )
        parts = _decoders[level + 1](data)
        if not is_plain_type(type(parts)):
            raise UnreadableRecord(f"the record is damaged: a {type(parts).__qualname__} stands for a value's parts")
        return unpack(parts)

    return msgspec.msgpack.Decoder(ext_hook=unpack_extension).decode


_UNPACK: dict[int, Callable[[Any], Any]] = {
    **STANDARD_UNPACK,
    **{code: _unpacker_of(shape) for code, shape in SHAPES.items()},
}
_kinds_of_users: WeakKeyDictionary[type, Kind] = WeakKeyDictionary()
# One decoder for each level: how deep the bytes nest is known without anything shared between OS threads.
_decoders = [_decoder(level) for level in range(MOST_LEVELS + 1)]
_VALUES, _CAREFUL_VALUES = ValueWriter(), CarefulValueWriter()
