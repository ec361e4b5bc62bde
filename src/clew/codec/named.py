"""The types that an application's own code names: in annotations, and by the names that a function's code refers to.

Only looks: no attribute of an instance is read, no user code is called, and whatever cannot be resolved is passed over.
It does not know what the types are for.
"""

from __future__ import annotations

import builtins
import functools
import re
import sys
import types
import typing
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

_DOTTED_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_WITH_ARGUMENTS = rf"({_DOTTED_NAME})\[({_DOTTED_NAME}(?:, *{_DOTTED_NAME})*)\]"
_MOST_DEPTH = 12
_MOST_ELEMENTS = 20
_MOST_FUNCTIONS = 2_000
_GENERATED = ("<strin", "<attrs")
_BINDERS = (staticmethod, classmethod)
_CONTAINERS = (list, tuple, set, frozenset, deque)
_NO_NAMES: Mapping[str, Any] = types.MappingProxyType({})


def types_named_by(function: Callable[..., Any], localns: Mapping[str, Any] | None = None) -> set[type]:
    """Return the classes that a function's annotations and code name, and those of the objects they name.

    The functions and classes of the same top-level package that the code refers to count as its code.

    Args:
        function: a function, method, partial or callable object.
        localns: names that string annotations may use beside the globals and the function's closure.
    """
    found: set[type] = set()
    waiting = functions_in(function)
    seen = {id(inner) for inner in waiting}
    while waiting and len(seen) < _MOST_FUNCTIONS:
        inner = waiting.pop()
        for thing in _named_by(inner, localns or _NO_NAMES):
            _collect(thing, found)
            called = [other for other in _code_of(thing, _package(inner)) if id(other) not in seen]
            seen.update(map(id, called))
            waiting += called
    return found


def types_in(annotation: Any) -> set[type]:
    """Return the classes that an annotation names."""
    found: set[type] = set()
    for thing in _in_annotation(annotation, _Scope(_NO_NAMES, _NO_NAMES), 0):
        _collect(thing, found)
    return found


def functions_in(callable_: Any) -> list[types.FunctionType]:
    """Return the plain functions behind a callable: under partials, methods, decorators and callable objects."""
    functions: list[types.FunctionType] = []
    for _ in range(_MOST_DEPTH):
        if isinstance(callable_, functools.partial):
            callable_ = callable_.func
        elif isinstance(callable_, types.MethodType):
            callable_ = callable_.__func__
        elif isinstance(callable_, types.FunctionType):
            functions.append(callable_)
            callable_ = callable_.__dict__.get("__wrapped__")
        elif isinstance(callable_, type) or callable_ is None:
            break
        else:
            callable_ = _class_attribute(type(callable_), "__call__")
    return functions


def names_in_annotations(function: types.FunctionType) -> set[str]:
    """Return the first parts of the dotted names in those annotations of a function that are text."""
    texts = [text for text in _annotations(function).values() if isinstance(text, str)]
    return {name.partition(".")[0] for text in texts for name in re.findall(_DOTTED_NAME, text)}


def types_in_fields(cls: type) -> set[type]:
    """Return the classes that the annotations of a class and its bases name."""
    found: set[type] = set()
    for base in cls.__mro__:
        scope = _Scope(vars(sys.modules.get(base.__module__, typing)), {base.__name__: base})
        for annotation in _annotations(base).values():
            for thing in _in_annotation(annotation, scope, 0):
                _collect(thing, found)
    generic = cls.__dict__.get("__pydantic_generic_metadata__")
    for argument in generic.get("args", ()) if isinstance(generic, dict) else ():
        found |= types_in(argument)
    return found


class _Scope:
    """Where names are looked up: local names first, then globals."""

    def __init__(self, globals_: Mapping[str, Any], local: Mapping[str, Any]) -> None:
        self.globals = globals_
        self.local = local

    def find(self, name: str) -> Any:
        """Return what a dotted name means, or None. Only modules and classes are entered."""
        first, *rest = name.split(".")
        found = self.local.get(first, self.globals.get(first, vars(builtins).get(first)))
        for part in rest:
            if not isinstance(found, (types.ModuleType, type)):
                return None
            found = vars(found).get(part)
        return found


def _named_by(function: types.FunctionType, localns: Mapping[str, Any]) -> Iterator[Any]:
    closure = dict(_closure(function))
    scope = _Scope(function.__globals__, {**localns, **closure})
    for annotation in _annotations(function).values():
        yield from _in_annotation(annotation, scope, 0)
    yield from closure.values()
    yield from _named_in_code(function)


def _closure(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        if name == "__class__":  # a class that was made anew for its slots leaves its first version here
            continue
        try:
            yield name, cell.cell_contents
        except ValueError:  # not filled yet
            continue


def _named_in_code(function: types.FunctionType) -> Iterator[Any]:
    """Yield the globals that the code may refer to, and what it may refer to inside modules and classes."""
    names = _names_of(function.__code__)
    holders: list[Any] = []
    for name in names:
        if name in function.__globals__:
            thing = function.__globals__[name]
            yield thing
        else:
            thing = sys.modules.get(name)  # imported inside the function
        if isinstance(thing, (types.ModuleType, type)):
            holders.append(thing)
    for holder in holders:  # grows: a module may hold modules
        members = vars(holder)
        for name in names:
            member = members.get(name)
            if isinstance(member, type):
                yield member
            elif isinstance(member, types.ModuleType) and not any(member is known for known in holders):
                holders.append(member)


def _code_of(thing: Any, package: str) -> list[types.FunctionType]:
    """Return the functions of what the code refers to, if they are of that top-level package."""
    if isinstance(thing, types.FunctionType):
        return [thing] if _package(thing) == package else []
    cls = thing if isinstance(thing, type) else type(thing)
    if _package(cls) != package:
        return []
    members = (
        getattr(member, "__func__", member) if type(member) in _BINDERS else member for member in vars(cls).values()
    )
    # Methods that a library generated refer to the class as it was before it was decorated.
    return [m for m in members if isinstance(m, types.FunctionType) and m.__code__.co_filename[:6] not in _GENERATED]


def _package(thing: types.FunctionType | type) -> str:
    return str(thing.__module__).partition(".")[0]


def _names_of(code: types.CodeType) -> tuple[str, ...]:
    names = _code_names.get(code)
    if names is None:
        gathered = dict.fromkeys(code.co_names)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                gathered.update(dict.fromkeys(_names_of(constant)))
        names = _code_names[code] = tuple(gathered)
    return names


def _annotations(thing: Any) -> Mapping[str, Any]:
    try:
        if sys.version_info >= (3, 14):
            import annotationlib

            return annotationlib.get_annotations(thing, format=annotationlib.Format.FORWARDREF)
        own = vars(thing) if isinstance(thing, type) else {"__annotations__": thing.__annotations__}
        annotations = own.get("__annotations__")
    except Exception:
        return _NO_NAMES
    return annotations if isinstance(annotations, dict) else _NO_NAMES


def _in_annotation(annotation: Any, scope: _Scope, depth: int) -> Iterator[Any]:
    """Yield what an annotation names. Text is searched for names, never evaluated."""
    if depth > _MOST_DEPTH:
        return
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        for name in re.findall(_DOTTED_NAME, annotation):
            named = scope.find(name)
            yield from _in_annotation(None if isinstance(named, str) else named, scope, depth + 1)
        yield from _generic_models_in(annotation, scope)
        return
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        yield annotation
        return
    for part in _parts_of(annotation):
        yield from _in_annotation(part, scope, depth + 1)


def _generic_models_in(text: str, scope: _Scope) -> Iterator[type]:
    """Yield the classes that pydantic makes for generic models with arguments, such as `Page[User]`."""
    for origin, arguments in re.findall(_WITH_ARGUMENTS, text):
        model: Any = scope.find(origin)
        classes = tuple(scope.find(name) for name in re.findall(_DOTTED_NAME, arguments))
        if isinstance(model, type) and "__pydantic_generic_metadata__" in vars(model):
            try:
                yield model[classes]  # type: ignore[index]
            except Exception:
                continue  # arguments that this model does not take


def _parts_of(annotation: Any) -> Iterator[Any]:
    """Yield the annotations inside one: arguments, origins, bounds, supertypes, members of literals."""
    if isinstance(annotation, list):
        yield from annotation
    elif isinstance(annotation, typing.TypeVar):
        yield annotation.__bound__
        yield from annotation.__constraints__
    elif isinstance(annotation, typing.NewType):
        yield annotation.__supertype__
    elif type(annotation).__name__ == "TypeAliasType":
        try:
            yield annotation.__value__
        except Exception:
            return
    elif (origin := typing.get_origin(annotation)) is not None:
        if origin is typing.Literal:
            yield from map(type, typing.get_args(annotation))
        else:
            yield origin
            yield from typing.get_args(annotation)


def _collect(thing: Any, found: set[type]) -> None:
    """Add a class, or the class of an instance; for a container, also the classes of its first elements."""
    if isinstance(thing, type):
        found.add(thing)
        return
    of = type(thing)
    found.add(of)
    if of in _CONTAINERS or of is dict:
        try:
            elements = list(_first(thing.values() if of is dict else thing))
        except RuntimeError:  # changed by another OS thread meanwhile
            return
        found.update(element if isinstance(element, type) else type(element) for element in elements)


def _first(things: Any) -> Iterator[Any]:
    for _, thing in zip(range(_MOST_ELEMENTS), things, strict=False):
        yield thing


def _class_attribute(cls: type, name: str) -> Any:
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


_code_names: WeakKeyDictionary[types.CodeType, tuple[str, ...]] = WeakKeyDictionary()
