"""The types that recorded bytes may bring back: those that the application named, and clew's own list.

One registry for the process. A type is found by the name under which it was allowed, never by importing it.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Iterable
from typing import Any

from clew.codec.declared import declarations, declared
from clew.codec.exceptions import BUILTIN_EXCEPTIONS
from clew.codec.named import types_in, types_in_fields, types_named_by
from clew.codec.objects import EXCEPTION, shape_of
from clew.codec.plain import is_plain_type
from clew.codec.standard import standard_kind
from clew.errors import UsageError

# Packages whose own classes may come back without being named, once the application has imported them.
_OWN_LIST = (
    "clew",
    "langchain_core.agents",
    "langchain_core.documents",
    "langchain_core.messages",
    "langchain_core.outputs",
    "langchain_core.prompt_values",
)
_MOST_NOT_FOUND = 1_000
# How often all functions are looked through for names that are not there, as long as nothing was declared or imported.
_MOST_LOOKS = 32

_types: dict[str, type] = {}
_not_found: dict[str, tuple[int, int]] = {}
_looks: tuple[tuple[int, int], int] = ((0, 0), 0)  # since when, and how many


_ANY_EXCEPTION = (Exception, BaseException, ExceptionGroup, BaseExceptionGroup)


def allow(*types_: Any) -> None:
    """Let values of these types be recorded and come back, with the types that their fields name.

    Args:
        types_: classes, or annotations that name classes, such as `list[Order]`.

    Raises:
        UsageError: a class of a kind that cannot be recorded, or no class at all.
    """
    for each in types_:
        if isinstance(each, type) and not isinstance(each, types.GenericAlias):
            if not _can_be_recorded(each):
                raise UsageError(
                    f"{each.__module__}.{each.__qualname__} cannot be allowed; what can be recorded: dataclasses, "
                    "pydantic models, enums, NamedTuples, msgspec Structs, attrs classes, exceptions, "
                    "and subclasses of builtin types"
                )
            _register([each])
        elif named := types_in(each):
            _register(named)
        else:
            raise UsageError(f"allow takes classes, not {each!r}")


def find(name: str) -> type | None:
    """Return the type that may come back under a name, or None."""
    return _types.get(name) or BUILTIN_EXCEPTIONS.get(name) or _look_again(name)


def is_allowed(cls: type) -> bool:
    """Say whether values of a class may be recorded and come back."""
    return find(name_of(cls)) is not None


def name_of(cls: type) -> str:
    """Return the name under which a class is recorded: "module:qualified name".

    A class of the script that was started is named as if the script had been imported, so that another process that
    does import it can read the record.
    """
    module = cls.__module__
    return f"{_script_name() if module == '__main__' else module}:{cls.__qualname__}"


def package_to_import(name: str) -> str | None:
    """Return the module that would bring a type of the own list, if it is not imported."""
    module = name.partition(":")[0]
    return module if _is_own(module) and module not in sys.modules else None


def _can_be_recorded(cls: type) -> bool:
    is_builtin = is_plain_type(cls) or standard_kind(cls) is not None
    return is_builtin or shape_of(cls) is not None or typing.is_typeddict(cls)


def _register(classes: Iterable[type]) -> None:
    waiting, seen = list(classes), set()
    while waiting:
        cls = waiting.pop()
        if cls in seen:
            continue
        seen.add(cls)
        if shape_of(cls) is not None:
            if not _is_replaced(cls):
                _types[name_of(cls)] = cls
        elif not typing.is_typeddict(cls):
            continue
        waiting += types_in_fields(cls)


def _is_replaced(cls: type) -> bool:
    """Say whether its module has another class of the same name: that one is meant."""
    current: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        current = vars(current).get(part) if isinstance(current, (types.ModuleType, type)) else None
    return isinstance(current, type) and current is not cls


def _look_again(name: str) -> type | None:
    """Look for a type in the own list, and in what all functions name now; None if nothing has changed since."""
    now = (declarations(), len(sys.modules))
    if _not_found.get(name) == now:
        return None
    found = _own(name)
    if found is None:
        _look_through_functions(now)
        found = _types.get(name) or _below_allowed(name)
    if found is not None:
        _types[name] = found
        return found
    if len(_not_found) >= _MOST_NOT_FOUND:
        _not_found.clear()
    _not_found[name] = now
    return None


def _look_through_functions(now: tuple[int, int]) -> None:
    """Register what all functions name now. Bytes may hold any number of names: not once for each of them."""
    global _looks
    since, number = _looks
    _looks = (now, 1 if since != now else number + 1)
    if _looks[1] > _MOST_LOOKS:
        return
    for function, localns in declared():
        _register(types_named_by(function, localns))


def _own(name: str) -> type | None:
    module, _, qualname = name.partition(":")
    if not _is_own(module):
        return None
    for holder in (module, *(package for package in _OWN_LIST if module.startswith(package + "."))):
        loaded = sys.modules.get(holder)
        if loaded is None:
            continue
        # Of a package that the application imported, the public classes that the package itself loads when first asked.
        public = holder != "clew" and qualname in vars(loaded).get("__all__", ())
        cls = getattr(loaded, qualname, None) if public else vars(loaded).get(qualname)
        if isinstance(cls, type) and name_of(cls) == name and shape_of(cls) is not None:
            return cls
    return None


def _is_own(module: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in _OWN_LIST)


def _below_allowed(name: str) -> type | None:
    """Return an exception class whose base was allowed: who names the base in `except` means all of them.

    Who names `Exception` means none in particular.
    """
    waiting = [cls for cls in list(_types.values()) if shape_of(cls) is EXCEPTION and cls not in _ANY_EXCEPTION]
    seen: set[type] = set()
    while waiting:
        cls = waiting.pop()
        if name_of(cls) == name:
            return cls
        if cls not in seen:
            seen.add(cls)
            waiting += type.__subclasses__(cls)
    return None


def _script_name() -> str:
    main = sys.modules.get("__main__")
    if (spec := getattr(main, "__spec__", None)) is not None:
        return str(spec.name.removesuffix(".__main__"))
    path = getattr(main, "__file__", None)
    return "__main__" if path is None else path.replace("\\", "/").rpartition("/")[2].partition(".")[0]
