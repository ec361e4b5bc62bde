"""What an exception consists of, and how one is made again without calling its class.

It knows the parts that Python keeps outside `__dict__`. It does not know bytes, nor which classes are allowed.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any

from clew.codec.layouts import layout_of

# What the constructors of the builtin classes keep beside `args`.
_NATIVE: tuple[tuple[type[BaseException], tuple[str, ...]], ...] = (
    (OSError, ("errno", "strerror", "filename", "filename2")),
    (ImportError, ("msg", "name", "path")),
    (SyntaxError, ("msg", "filename", "lineno", "offset", "text", "end_lineno", "end_offset")),
    (AttributeError, ("name",)),
    (NameError, ("name",)),
    (SystemExit, ("code",)),
    (StopIteration, ("value",)),
)
BUILTIN_EXCEPTIONS: dict[str, type[BaseException]] = {
    f"builtins:{cls.__qualname__}": cls
    for cls in vars(builtins).values()
    if isinstance(cls, type) and issubclass(cls, BaseException)
}


def parts_of(error: BaseException) -> tuple[tuple[Any, ...], tuple[BaseException, ...]]:
    """Return what the builtin base of the class is made from, and the members of a group."""
    if isinstance(error, BaseExceptionGroup):
        return (error.message,), error.exceptions
    return tuple(BaseException.args.__get__(error)), ()  # type: ignore[attr-defined]


def state_of(error: BaseException) -> dict[str, Any]:
    """Return the attributes of an exception, its notes among them."""
    return layout_of(type(error)).state(error)


def native_state_of(error: BaseException) -> dict[str, Any]:
    """Return what the builtin base keeps outside `args` and `__dict__`."""
    names = next((names for cls, names in _NATIVE if isinstance(error, cls)), ())
    values = {name: object.__getattribute__(error, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def rebuilt(
    cls: type[BaseException],
    arguments: Sequence[Any],
    members: Sequence[BaseException],
    state: Mapping[str, Any],
    native_state: Mapping[str, Any],
) -> BaseException:
    """Make an exception again from its parts, calling no code but that of Python's own classes.

    Raises:
        Exception: the parts do not make one.
    """
    base = _builtin_base(cls)
    if issubclass(cls, BaseExceptionGroup):
        arguments = (*arguments, list(members))
    error = base.__new__(cls, *arguments)
    if type(error) is not cls:
        raise TypeError(f"a {cls.__qualname__} cannot be made from its parts")
    base.__init__(error, *arguments)
    error.args = tuple(arguments)
    known = next((names for of, names in _NATIVE if issubclass(cls, of)), ())
    for name, value in native_state.items():
        if name not in known:
            raise ValueError(f"a {base.__qualname__} has no {name!r}")
        object.__setattr__(error, name, value)
    layout_of(cls).restore(error, state)
    result: BaseException = error
    return result


def _builtin_base(cls: type[BaseException]) -> Any:
    return next(base for base in cls.__mro__ if BUILTIN_EXCEPTIONS.get(f"builtins:{base.__qualname__}") is base)


def text_of(error: BaseException) -> str:
    """Return the message of an exception, also of one whose `__str__` fails."""
    try:
        return str(error)
    except Exception:
        return f"<the message of this {type(error).__qualname__} could not be made>"
