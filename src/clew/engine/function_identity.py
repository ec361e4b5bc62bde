"""Which function this is: its name, and a digest of its code and of what it was made with.

Two functions that one factory made with different values differ, and so does a function whose code was changed. What
it calls by a global name counts by that name alone. The digest is the same in every process of one Python version.
"""

# Values of any type are taken apart here:
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from hashlib import blake2b
from types import BuiltinFunctionType, CodeType, EllipsisType, FunctionType, MethodType, ModuleType, NoneType
from typing import Any, cast

_BY_REPR = (NoneType, EllipsisType, float, complex, str, bytes, bytearray, range, slice)
# Likewise; by name, so that nothing is imported for what a program may not use.
_BY_REPR_TOO = {
    "decimal.Decimal", "fractions.Fraction", "uuid.UUID", "datetime.date", "datetime.time", "datetime.timedelta",
    "datetime.tzinfo", "pathlib.PurePath", "pathlib._local.PurePath",
}  # fmt: skip
# Where a class says which fields make up its values: dataclasses, msgspec, attrs, pydantic.
_FIELD_LISTS = ("__dataclass_fields__", "__struct_fields__", "__attrs_attrs__", "__pydantic_fields__")


def function_identity(function: Callable[..., Any]) -> str:
    """Return the qualified name of a function and 32 hexadecimal digits for its code, defaults and closure.

    Plain data in closures, defaults and partials counts by content, a function by its code, all else by its type; of
    a callable object or of the object of a bound method, so do the attributes. Closures can change until the function
    is first called, so ask then, once.
    """
    text = _Describer().described_callable(function)
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{_name(function)}@{digest}"


def _name(function: Any) -> str:
    while isinstance(function, partial):
        function = function.func
    named = function if isinstance(getattr(function, "__qualname__", None), str) else type(function)
    return f"{getattr(named, '__module__', None) or 'builtins'}.{named.__qualname__}"


class _Describer:
    """Turns what a function is made of into text, the same text in every process.

    A function met again is named by its number, so that functions which call each other come to an end.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._open: list[int] = []

    def described_callable(self, function: Any) -> str:
        """Describe what is to be called: unlike a value among others, with the attributes of its object."""
        if isinstance(function, partial):
            given = self.described((function.args, function.keywords))
            return f"partial({self.described_callable(function.func)},{given})"
        if isinstance(function, MethodType):
            return f"method({self.described(function.__func__)},{self._object(function.__self__)})"
        if isinstance(function, type):
            return f"class({_type_name(function)},{self.described(getattr(function, '__init__', None))})"
        if isinstance(function, FunctionType | BuiltinFunctionType):
            return self.described(function)
        return f"callable({self.described(type(function).__call__)},{self._object(function)})"

    def described(self, value: object) -> str:
        """Describe a value; what is no plain data and no function, by its type."""
        if id(value) in self._open:
            return f"again({len(self._open) - self._open.index(id(value))})"
        self._open.append(id(value))
        try:
            return self._plain(value) or self._code_of(value) or self._opaque(value)
        finally:
            self._open.pop()

    def _plain(self, value: object) -> str | None:
        name = _type_name(type(value))
        match value:
            case enum.Enum():
                return f"{name}.{value.name}"
            case int():
                return f"{name}({int(value):x})"
            case re.Pattern():
                return f"{name}({value.pattern!r},{value.flags})"
            case tuple() | list():
                return f"{name}({','.join(self._each(value))})"
            case set() | frozenset():
                return f"{name}({','.join(sorted(self._each(value)))})"  # their order differs between processes
            case dict():
                return f"{name}({self._pairs(value)})"
            case _:
                return f"{name}({value!r})" if _is_told_by_repr(value) else None

    def _code_of(self, value: object) -> str | None:
        match value:
            case CodeType():
                return self._code(value)
            case FunctionType():
                return self._function(value)
            case MethodType():
                return f"method({self.described(value.__func__)},{self.described(value.__self__)})"
            case BuiltinFunctionType():
                return f"builtin({value.__qualname__!r},{self.described(value.__self__)})"
            case partial():
                return f"partial({self.described(value.func)},{self.described((value.args, value.keywords))})"
            case staticmethod() | classmethod():
                return f"{type(value).__name__}({self.described(value.__func__)})"
            case type():
                return f"named({_type_name(value)})"
            case ModuleType():
                return f"named({value.__name__})"
            case _:
                wrapped = getattr(value, "__wrapped__", None)
                is_wrapper = isinstance(wrapped, FunctionType | MethodType | BuiltinFunctionType)
                return f"{_type_name(type(value))}({self.described(wrapped)})" if is_wrapper else None

    def _function(self, function: FunctionType) -> str:
        if id(function) in self._numbers:
            return f"function#{self._numbers[id(function)]}"
        self._numbers[id(function)] = len(self._numbers)
        made_with = (function.__defaults__, function.__kwdefaults__)
        cells = ",".join(self._cell(cell) for cell in function.__closure__ or ())
        return f"function({self._code(function.__code__)},{self.described(made_with)},{cells})"

    def _cell(self, cell: Any) -> str:
        try:
            return self.described(cell.cell_contents)
        except ValueError:  # nothing was assigned to that name yet
            return "empty"

    def _code(self, code: CodeType) -> str:
        parts = (
            code.co_name, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags,
            code.co_code, code.co_exceptiontable, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars,
        )  # fmt: skip
        return f"code({parts!r},{','.join(self._each(code.co_consts))})"

    def _opaque(self, value: Any) -> str:
        name = _type_name(type(value))
        for attribute in _FIELD_LISTS:
            fields = getattr(type(value), attribute, None)
            if isinstance(fields, dict | tuple):
                names = [field if isinstance(field, str) else field.name for field in cast("Iterable[Any]", fields)]
                return f"{name}({self._pairs({field: getattr(value, field, None) for field in names})})"
        content = _buffer_digest(value)
        return f"{name}({content})" if content else f"a {name}"

    def _object(self, value: object) -> str:
        attributes: dict[str, Any] = {} if isinstance(value, type | ModuleType) else getattr(value, "__dict__", {})
        return f"{self.described(value)}({self._pairs(attributes)})"

    def _each(self, values: Iterable[object]) -> list[str]:
        return [self.described(value) for value in values]

    def _pairs(self, pairs: Mapping[Any, Any]) -> str:
        keyed = sorted(((self.described(key), value) for key, value in pairs.items()), key=lambda pair: pair[0])
        return ",".join(f"{key}={self.described(value)}" for key, value in keyed)


def _type_name(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _is_told_by_repr(value: object) -> bool:
    return isinstance(value, _BY_REPR) or any(_type_name(cls) in _BY_REPR_TOO for cls in type(value).__mro__)


def _buffer_digest(value: Any) -> str | None:
    """Return a digest of what a buffer holds, such as an array's numbers, or None for anything else."""
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError):
        return None
    if "O" in view.format:  # addresses of objects, which differ between processes
        return None
    return f"{view.format},{view.shape},{blake2b(view.tobytes(), digest_size=16).hexdigest()}"
