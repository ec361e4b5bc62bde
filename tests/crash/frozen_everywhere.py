"""A program that freezes the process of a workflow at every place, for longer than its lease, and wakes it up again.

    python frozen_everywhere.py WORKFLOW_COLOUR TASK_COLOUR FOLDER

Each run is a forked child that stops itself before or after its n-th write, all of them at the same time. When their
leases have run out, another process brings each run to its end; then the frozen ones wake up. The environment says how
long a lease is (CLEW_LEASE_S).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from killed_everywhere import Place, Story, forked, shown, survived

from clew.errors import Conflict, InvalidResume
from clew.runner.leases import LEASE_S

MOST_PLACES = 20
BEFORE_ALL = Place(1, "before")  # whoever wakes up there holds nothing yet: its input begins a run of its own
OVERTAKEN = 3


@dataclass(frozen=True)
class Frozen:
    """A process that stopped itself."""

    place: Place
    story: Story
    pid: int

    def woken(self) -> int:
        """Let it go on, and return how it ended."""
        os.kill(self.pid, signal.SIGCONT)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def freeze(place: Place, story: Story) -> int:
    """Begin a story that stops at a place; return the number of its process."""

    def work() -> None:
        place.arm(story.kept.saver, signal.SIGSTOP)
        try:
            story.run()
        except (Conflict, InvalidResume):
            os._exit(OVERTAKEN)

    return forked(work)


def stopped(all_of_them: list[Frozen]) -> list[Frozen]:
    """Wait until each has stopped or ended, and return those that have stopped."""
    return [each for each in all_of_them if os.WIFSTOPPED(os.waitpid(each.pid, os.WUNTRACED)[1])]


def told(frozen: Frozen) -> dict[str, Any]:
    """Bring a story to its end, wake up the one who was frozen, and tell what each of them left."""
    before, recorded = frozen.story.acts(), frozen.story.recorded()
    found = survived(frozen.story, before, recorded)
    code = frozen.woken()
    acts = frozen.story.acts()
    again = [key for key in recorded if acts[key] != before[key]]
    afterwards = frozen.story.found()
    changed = {name for name, value in afterwards.items() if value != found[name]}
    return {
        **shown(found),
        "ended": code,
        "recorded and done again": again,
        "changed by the woken one": sorted(changed),
    }


def main(workflow: str, tasks: str, folder: Path) -> None:
    how = (workflow, tasks, "sync", None)
    report: dict[str, Any] = {"expected": shown(survived(Story(folder / "undisturbed", *how), Counter(), set()))}
    begun = []
    for number in range(1, MOST_PLACES + 1):
        for moment in ("before", "after"):
            place = Place(number, moment)
            if place != BEFORE_ALL:
                story = Story(folder / f"{number}-{moment}", *how)
                begun.append(Frozen(place, story, freeze(place, story)))
    frozen = stopped(begun)
    time.sleep(LEASE_S)
    report["places"] = {f"{each.place.moment} {each.place.number}": told(each) for each in frozen}
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
