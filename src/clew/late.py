"""Modules that are loaded when they are first used: a program pays only for what it does. Knows none of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def late(names: dict[str, Any], *modules: str) -> None:
    """Let modules be loaded when they are first used; until then a stand-in has each one's place.

    It gives its place to the module itself, so that from then on a use costs what any use of a module does. Beside the
    call stand the same imports for readers and type checkers:

        if TYPE_CHECKING:
            import asyncio

            from clew.runner import launching
        else:
            late(globals(), "asyncio", "clew.runner.launching")

    Args:
        names: the globals of the module that uses them.
        modules: their full names; the last part is the name that they have among the globals.
    """
    for module in modules:
        name = module.rpartition(".")[2]
        names[name] = _StandIn(names, name, module)


class _StandIn:
    __slots__ = ("_module", "_name", "_names")

    def __init__(self, names: dict[str, Any], name: str, module: str) -> None:
        self._names = names
        self._name = name
        self._module = module

    def __getattr__(self, attribute: str) -> Any:
        module = self._names[self._name] = import_module(self._module)
        return getattr(module, attribute)
