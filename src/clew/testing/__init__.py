"""For tests of one's own workflows, checkpointers and stores. Needs no test framework; `clew.testing.contracts` does.

`crash_everywhere` lets a workflow crash at every place and checks that it survives; `fake_clock` moves the time;
`check_replay` says which unfinished runs of a database would break with the code as it is now.
"""

from __future__ import annotations

from clew.runner.checking import Finding
from clew.testing.clock import FakeClock, fake_clock
from clew.testing.crashes import CrashingCheckpointer, CrashPoint, SimulatedCrash
from clew.testing.everywhere import CrashReport, crash_everywhere
from clew.testing.replaying import check_replay

__all__ = [
    "CrashPoint",
    "CrashReport",
    "CrashingCheckpointer",
    "FakeClock",
    "Finding",
    "SimulatedCrash",
    "check_replay",
    "crash_everywhere",
    "fake_clock",
]
