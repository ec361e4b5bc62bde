"""Finds the workflows that a command names: FILE:NAME or MODULE:NAME."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import sys
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from clew import Workflow
from clew.errors import ClewError, UsageError

log = logging.getLogger("clew.cli")


def find_workflow(target: str) -> Workflow[Any, Any]:
    """Import the module that a target names, and return the workflow in it.

    Raises:
        UsageError: there is none.
    """
    found = _find(target)
    if not isinstance(found, Workflow):
        raise UsageError(f"{target} is no workflow; it has to be a name at the top level of the module")
    return found


def find_workflows(target: str) -> list[Workflow[Any, Any]]:
    """Import the module that a target names, and return the workflows in it: one, or a list or dict of some.

    Raises:
        UsageError: there are none.
    """
    found = _find(target)
    if isinstance(found, Workflow):
        return [found]
    each: list[Any] = list(found.values()) if isinstance(found, Mapping) else []
    each = list(found) if isinstance(found, Sequence) and not isinstance(found, str) else each
    if not each or not all(isinstance(one, Workflow) for one in each):
        raise UsageError(f"{target} is neither a workflow nor a list or dict of workflows")
    return each


def _find(target: str) -> Any:
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise UsageError(f"{target!r} names no workflow; write FILE:WORKFLOW, such as app.py:chat")
    found = getattr(_import(place), name, None)
    if found is None:
        raise UsageError(f"{place} has no workflow {name!r}; it has to be a name at the top level of the module")
    return found


def _import(place: str) -> ModuleType:
    file = Path(place)
    if file.suffix != ".py":
        sys.path.insert(0, "")
        with _told_if_it_fails(place):
            return importlib.import_module(place)
    spec = importlib.util.spec_from_file_location(file.stem, file) if file.is_file() else None
    if spec is None or spec.loader is None:
        raise UsageError(f"there is no file {place!r}")
    sys.path.insert(0, str(file.resolve().parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    with _told_if_it_fails(place):
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _told_if_it_fails(place: str) -> Generator[None]:
    """Say in one line why code cannot be imported; the log tells where.

    Raises:
        UsageError: there is no such module, or importing it raised something.
    """
    try:
        yield
    except ClewError:
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{place}.".startswith(f"{error.name}."):
            raise UsageError(f"there is no module {place!r} here ({error})") from error
        log.debug("importing %s failed", place, exc_info=error)
        why = f"{type(error).__name__}: {error}"
        raise UsageError(f"{place} cannot be imported ({why}); `clew --verbose` shows where") from error
