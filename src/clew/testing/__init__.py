"""For tests of one's own workflows, checkpointers and stores. Needs no test framework; `contracts` and `plugin` do.

`crash_everywhere` lets a workflow crash at every place and checks that it survives; `fake_clock` moves the time;
`recorded_model` records a model's answers and gives them again; `check_replay` says which unfinished runs of a database
would break with the code as it is now. pytest has most of it as fixtures: clew_database, clew_clock, clew_crash_at,
clew_crash_everywhere and clew_model.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clew.runner.checking import Finding
    from clew.testing.clock import FakeClock, fake_clock
    from clew.testing.crashes import CrashingCheckpointer, CrashPoint, SimulatedCrash
    from clew.testing.everywhere import CrashReport, crash_everywhere
    from clew.testing.models import RecordedModel, recorded_model
    from clew.testing.replaying import check_replay

# Loaded when they are used: pytest loads the plugin beside this file for whoever has clew installed.
_HOMES = {
    "clew.runner.checking": "Finding",
    "clew.testing.clock": "FakeClock fake_clock",
    "clew.testing.crashes": "CrashPoint CrashingCheckpointer SimulatedCrash",
    "clew.testing.everywhere": "CrashReport crash_everywhere",
    "clew.testing.models": "RecordedModel recorded_model",
    "clew.testing.replaying": "check_replay",
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'clew.testing' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


__all__ = [
    "CrashPoint",
    "CrashReport",
    "CrashingCheckpointer",
    "FakeClock",
    "Finding",
    "RecordedModel",
    "SimulatedCrash",
    "check_replay",
    "crash_everywhere",
    "fake_clock",
    "recorded_model",
]
