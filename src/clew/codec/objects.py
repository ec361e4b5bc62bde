"""Classes that users write, or that libraries write for them: how their objects are packed and made again.

No constructor, validator or property of the class is called, neither way. This file knows the kinds of classes, and
does not know which classes are allowed to come back.
The codes and the shapes of the parts are kept in users' databases: add new ones, never change old ones.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from enum import EnumMeta, Flag
from functools import reduce
from operator import or_
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from clew.codec import exceptions
from clew.codec.layouts import attributes_of, layout_of
from clew.codec.parts import exactly
from clew.codec.writing import Refusal, Writer
from clew.errors import RecordedFailure


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How the objects of one kind of class are packed, and made again from their class and parts.

    Args:
        code: of the extension, 64 to 126; it never changes its meaning.
        name: what people call such a class.
        pack: (object, writer, depth) to what msgpack carries.
        unpack: (class, parts) to the object; any exception means that the parts do not fit the class.
    """

    code: int
    name: str
    pack: Callable[[Any, Writer, int], Any]
    unpack: Callable[[Any, Any], Any]


def shape_of(cls: type) -> Shape | None:
    """Return how the objects of a class are packed, or None if it is of no kind that can be recorded."""
    shape = _shapes.get(cls, ...)
    if shape is ...:
        shape = _shapes[cls] = _look_at(cls)
    return shape


def _look_at(cls: type) -> Shape | None:
    if isinstance(cls, EnumMeta):
        return FLAG if issubclass(cls, Flag) else ENUM
    if issubclass(cls, BaseException):
        return EXCEPTION
    if issubclass(cls, msgspec.Struct):
        return STRUCT
    if _is_pydantic_model(cls):
        return PYDANTIC
    base = next((base for base in cls.__mro__ if base in _EXACT), None)
    if base is tuple and isinstance(getattr(cls, "_fields", None), tuple):
        return NAMED_TUPLE
    if hasattr(cls, "__dataclass_fields__") or hasattr(cls, "__attrs_attrs__"):
        return OBJECT if base is None and _can_be_made(object, cls) else None
    return SUBCLASS if base is not None and cls not in _EXACT and _can_be_made(base, cls) else None


def _is_pydantic_model(cls: type) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and hasattr(cls, "__pydantic_fields__") and issubclass(cls, pydantic.BaseModel)


def _can_be_made(base: Any, cls: type) -> bool:
    try:
        base.__new__(cls)
    except Exception:
        return False
    return True


def _pack_enum(value: Any, writer: Writer, depth: int) -> Any:
    return value._name_


def _unpack_enum(cls: Any, parts: Any) -> Any:
    return cls._member_map_[exactly(str, parts)]


def _pack_flag(value: Any, writer: Writer, depth: int) -> Any:
    members = list(value)
    if sum(member._value_ for member in members) != value._value_:
        raise Refusal(f": a {type(value).__qualname__} with bits that have no name cannot be recorded; name them")
    return [member._name_ for member in members]


def _unpack_flag(cls: Any, parts: Any) -> Any:
    names = [exactly(str, name) for name in exactly(list, parts)]
    return reduce(or_, (cls._member_map_[name] for name in names)) if names else cls(0)


def _pack_object(value: Any, writer: Writer, depth: int) -> Any:
    layout = layout_of(type(value))
    state = layout.compared_state(value) if writer.only_what_compares else layout.state(value)
    return writer.fields(state, depth)


def _unpack_object(cls: Any, parts: Any) -> Any:
    value = object.__new__(cls)
    layout_of(cls).restore(value, exactly(dict, parts))
    return value


def _pack_named_tuple(value: Any, writer: Writer, depth: int) -> Any:
    return writer.fields(dict(zip(type(value)._fields, tuple.__iter__(value), strict=True)), depth)


def _unpack_named_tuple(cls: Any, parts: Any) -> Any:
    if gone := exactly(dict, parts).keys() - set(cls._fields):
        raise ValueError(f"it was recorded with {sorted(gone)[0]!r}, which the class no longer has")
    fields = {**cls._field_defaults, **parts}
    if missing := [name for name in cls._fields if name not in fields]:
        raise ValueError(f"the class has a field {missing[0]!r} now that was not recorded; give it a default")
    return tuple.__new__(cls, [fields[name] for name in cls._fields])


def _pack_struct(value: Any, writer: Writer, depth: int) -> Any:
    fields = {name: getattr(value, name) for name in type(value).__struct_fields__}
    return [writer.fields(fields, depth), writer.fields(attributes_of(value) or {}, depth)]


def _unpack_struct(cls: Any, parts: Any) -> Any:
    fields, attributes = parts
    value = _without_post_init(cls)(**exactly(dict, fields))
    if type(value) is not cls:
        object.__dict__["__class__"].__set__(value, cls)
    if attributes:
        object.__getattribute__(value, "__dict__").update(exactly(dict, attributes))
    return value


def _without_post_init(cls: Any) -> Any:
    """Return a twin of a Struct class that does not run `__post_init__`: a Struct has no other way to be made."""
    if not hasattr(cls, "__post_init__"):
        return cls
    if cls not in _twins:
        _twins[cls] = type(cls)(cls.__name__, (cls,), {"__post_init__": lambda self: None})
    return _twins[cls]


def _pack_pydantic(value: Any, writer: Writer, depth: int) -> Any:
    attributes = attributes_of(value) or {}
    declared = type(value).__pydantic_fields__
    # Beside the fields there may be cached properties, which are no state.
    fields = (
        attributes if attributes.keys() == declared.keys() else {k: attributes[k] for k in declared if k in attributes}
    )
    extra = value.__pydantic_extra__
    return [
        writer.fields(fields, depth),
        None if writer.only_what_compares else sorted(value.__pydantic_fields_set__),
        extra and writer.fields(extra, depth),
        _private_of(value, writer, depth),
    ]


def _private_of(value: Any, writer: Writer, depth: int) -> dict[str, Any] | None:
    """Return the private attributes that can be recorded. The others, such as locks, get their default again."""
    private = value.__pydantic_private__
    if private is None:
        return None
    kept: dict[str, Any] = {}
    for name, item in private.items():
        try:
            kept[name] = writer.value(item, depth + 1)
        except Refusal:
            continue
    return kept


def _unpack_pydantic(cls: Any, parts: Any) -> Any:
    fields, fields_set, extra, private = parts
    declared = cls.__pydantic_fields__
    state = fields if exactly(dict, fields).keys() == declared.keys() else _with_defaults(fields, declared)
    if private is not None:
        private = _with_private_defaults(exactly(dict, private), cls.__private_attributes__)
    value = cls.__new__(cls)
    object.__setattr__(value, "__dict__", state)
    object.__setattr__(value, "__pydantic_fields_set__", set(exactly(list, fields_set)))
    object.__setattr__(value, "__pydantic_extra__", extra if extra is None else exactly(dict, extra))
    object.__setattr__(value, "__pydantic_private__", private)
    return value


def _with_private_defaults(private: dict[str, Any], declared: Any) -> dict[str, Any]:
    undefined = sys.modules["pydantic_core"].PydanticUndefined
    state = dict(private)
    for name, attribute in declared.items():
        if name in state:
            continue
        if attribute.default_factory is not None:
            state[name] = attribute.default_factory()
        elif attribute.default is not undefined:
            state[name] = copy.deepcopy(attribute.default)
    return state


def _with_defaults(fields: dict[str, Any], declared: Any) -> dict[str, Any]:
    """Return the fields of a model that has changed since they were recorded."""
    if gone := fields.keys() - declared.keys():
        raise ValueError(f"it was recorded with {sorted(gone)[0]!r}, which the class no longer has")
    state = dict(fields)
    for name, field in declared.items():
        if name not in state:
            if field.is_required():
                raise ValueError(f"the class has a field {name!r} now that was not recorded; give it a default")
            state[name] = field.get_default(call_default_factory=True)
    return state


def _pack_subclass(value: Any, writer: Writer, depth: int) -> Any:
    of = type(value)
    base = next(base for base in of.__mro__ if base in _EXACT)
    return [writer.value(_EXACT[base](value), depth), writer.fields(layout_of(of).state(value), depth)]


def _unpack_subclass(cls: Any, parts: Any) -> Any:
    content, state = parts
    base: Any = next(base for base in cls.__mro__ if base in _EXACT)
    if type(content) is not base:
        raise ValueError(f"it was recorded as a {type(content).__name__}, the class is a {base.__name__} now")
    value = base.__new__(cls, content)
    if base in _FILLED_BY_INIT:
        base.__init__(value, content)  # of the builtin base, not of the class
    layout_of(cls).restore(value, exactly(dict, state))
    return value


def _pack_exception(value: BaseException, writer: Writer, depth: int) -> Any:
    cause = value.__cause__
    arguments, members = exceptions.parts_of(value)
    return [
        writer.items(arguments, depth),
        writer.items(members, depth),
        writer.fields(exceptions.state_of(value), depth),
        writer.fields(exceptions.native_state_of(value), depth),
        None if cause is None else _cause(cause, writer, depth),
    ]


def _cause(cause: BaseException, writer: Writer, depth: int) -> Any:
    try:
        return writer.value(cause, depth)
    except Refusal:
        of = type(cause)
        return writer.value(RecordedFailure(f"{of.__module__}.{of.__qualname__}", exceptions.text_of(cause)), depth)


def _unpack_exception(cls: Any, parts: Any) -> Any:
    arguments, members, state, native_state, cause = parts
    error = exceptions.rebuilt(
        cls, exactly(list, arguments), exactly(list, members), exactly(dict, state), exactly(dict, native_state)
    )
    if cause is not None:
        error.__cause__ = cause
    return error


# Builtin types that may be subclassed, and how to get at the content of a subclass without calling what it overrides.
_EXACT: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__index__,
    float: float.__float__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    list: lambda value: list.__getitem__(value, slice(None)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    dict: dict.copy,
}
_FILLED_BY_INIT: tuple[Any, ...] = (list, set, dict)
ENUM = Shape(code=64, name="enum", pack=_pack_enum, unpack=_unpack_enum)
FLAG = Shape(code=65, name="flag", pack=_pack_flag, unpack=_unpack_flag)
OBJECT = Shape(code=66, name="dataclass or attrs class", pack=_pack_object, unpack=_unpack_object)
NAMED_TUPLE = Shape(code=67, name="NamedTuple", pack=_pack_named_tuple, unpack=_unpack_named_tuple)
STRUCT = Shape(code=68, name="msgspec Struct", pack=_pack_struct, unpack=_unpack_struct)
PYDANTIC = Shape(code=69, name="pydantic model", pack=_pack_pydantic, unpack=_unpack_pydantic)
SUBCLASS = Shape(code=70, name="subclass of a builtin type", pack=_pack_subclass, unpack=_unpack_subclass)
EXCEPTION = Shape(code=71, name="exception", pack=_pack_exception, unpack=_unpack_exception)
SHAPES: dict[int, Shape] = {
    shape.code: shape for shape in (ENUM, FLAG, OBJECT, NAMED_TUPLE, STRUCT, PYDANTIC, SUBCLASS, EXCEPTION)
}
_shapes: WeakKeyDictionary[type, Shape | None] = WeakKeyDictionary()
_twins: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
