"""The functions that an application declared as tasks and workflows, and may name types that records hold.

They are only taken note of here, so that declaring a task costs next to nothing, and a class that is declared further
down in a module is found: they are looked at when a type is not found.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any

from clew.codec.named import functions_in, names_in_annotations

# With the local names that their annotations need.
_functions: dict[int, tuple[weakref.ref[types.FunctionType], Mapping[str, Any]]] = {}
_numbers = count(1)
_newest = 0


def allow_named_by(function: Callable[..., Any], localns: Mapping[str, Any] | None = None) -> None:
    """Let values of the types that a function names be recorded and come back, for as long as the process lives.

    Args:
        function: a function, method, partial or callable object; it is not kept alive.
        localns: names that string annotations may use, such as the locals where the function was declared.
    """
    global _newest
    for inner in functions_in(function):
        local: Mapping[str, Any] = {}
        if localns:
            # Only the classes that the annotations need: a frame's locals may be large.
            needed = names_in_annotations(inner) & localns.keys()
            local = {name: localns[name] for name in needed if isinstance(localns[name], type)}
        _functions[id(inner)] = (weakref.ref(inner, partial(_forget, id(inner))), local)
        _newest = next(_numbers)


def declarations() -> int:
    """Return how many there were so far: if no more, nothing new is named."""
    return _newest


def declared() -> list[tuple[types.FunctionType, Mapping[str, Any]]]:
    """Return the functions that are still there, with the local names that their annotations need."""
    return [(inner, local) for function, local in list(_functions.values()) if (inner := function()) is not None]


def _forget(key: int, _: object) -> None:
    _functions.pop(key, None)
