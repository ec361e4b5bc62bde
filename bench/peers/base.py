"""What every system under measurement has: a place for its files, and how it is imported."""

from __future__ import annotations

import os
import subprocess
import sys

WORDS = ("lorem ipsum dolor sit amet " * 20)[:400]
SQLITE = ("sqlite", "disk", "normal")


class Peer:
    """A system under measurement. A case that it lacks the method for, or that gives None, it cannot do.

    Args:
        where: see Case.
        folder: an empty folder for its files.
        postgres: address of an empty PostgreSQL database, or "".
    """

    kinds: tuple[str, ...] = ("none", "memory", *SQLITE, "postgres")
    imports: str
    first_run = ""  # a program's first run, after these imports

    def __init__(self, where: str, folder: str, postgres: str) -> None:
        self.where, self.folder, self.postgres = where, folder, postgres
        self.file = os.path.join(folder, "bench.db")

    @property
    def synchronous(self) -> str:
        """What SQLite is told about flushing."""
        return "NORMAL" if self.where == "normal" else "FULL"

    def can(self, where: str) -> bool:
        """Say whether the system can keep what it does there."""
        return where in self.kinds and (where != "postgres" or bool(self.postgres))

    def import_s(self) -> float:
        return min(self._fresh("time.perf_counter() - began") for _ in range(3))

    def import_and_run_s(self) -> float | None:
        if not self.first_run:
            return None
        return min(self._fresh("time.perf_counter() - began", then=self.first_run) for _ in range(3))

    def import_bytes(self) -> float:
        # Not ru_maxrss, which a process inherits from the one that started it.
        return self._fresh("float(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) * 1024")

    def import_distributions(self) -> float:
        names = "from importlib.metadata import packages_distributions as names; names = names()"
        return self._fresh("float(len({d for m in loaded for d in names.get(m.partition('.')[0], ())}))", names)

    def _fresh(self, figure: str, after: str = "", then: str = "") -> float:
        """Evaluate a figure in a process that has imported this system alone."""
        imported = [self.imports, then, "loaded = list(sys.modules)"]
        lines = ["import sys, time", "began = time.perf_counter()", *imported, after]
        code = "\n".join([*lines, f"print({figure})"])
        return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def resident_bytes(field: str = "VmRSS") -> int:
    """Return the memory of this process: VmRSS now, VmHWM at most so far."""
    with open("/proc/self/status") as status:
        return int(status.read().split(f"{field}:")[1].split()[0]) * 1024
