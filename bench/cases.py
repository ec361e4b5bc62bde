"""What is measured: each case is one method of a peer, with its arguments and a unit. Less is better in every case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of the table.

    Args:
        name: shown, and chosen by.
        method: of the peers; one that a peer lacks is left out for it.
        unit: of the figure that the method returns, after `scale`.
        scale: what a figure in seconds, bytes or pieces is multiplied with.
        where: "none", "memory", "sqlite" (a file system without the cost of flushing), "disk", "postgres".
        arguments: passed to the method by name.
        goal: the figure that the floor times this must not exceed, or None.
        is_slow: left out with --quick.
    """

    name: str
    method: str
    unit: str
    scale: float = 1.0
    where: str = "none"
    arguments: dict[str, Any] = field(default_factory=dict)
    goal: float | None = None
    is_slow: bool = False


_US, _MS = 1e6, 1e3


def _tasks() -> list[Case]:
    cases = [
        Case(name=f"{shape} of {n:,} tasks, {colour}, {where}", method=shape, unit="µs a task", scale=_US / n,
             where=where, arguments={"n": n, "colour": colour}, is_slow=n not in (100, 1000))
        for where in ("none", "memory", "sqlite", "disk", "postgres")
        for shape in ("sequence", "fan")
        for colour in ("sync", "async")
        for n in ((10, 100, 1000, 10_000) if colour == "sync" and shape == "sequence" else (1000,))
    ]  # fmt: skip
    return [case for case in cases if not (case.where == "disk" and "10,000" in case.name)]


CASES: list[Case] = [
    Case(name="import, time", method="import_s", unit="ms", scale=_MS),
    Case(name="import, memory", method="import_bytes", unit="MiB", scale=2.0**-20),
    Case(name="import, distributions", method="import_distributions", unit=""),
    *(
        Case(name=f"invoke of an empty workflow, {colour}, {where}", method="empty", unit="µs", scale=_US, where=where,
             arguments={"colour": colour})
        for where in ("none", "sqlite", "postgres") for colour in ("sync", "async")
    ),
    *_tasks(),
    *(
        Case(name=f"resume past 1,000 records, {where}", method="resume", unit="ms", scale=_MS, where=where,
             arguments={"n": 1000})
        for where in ("sqlite", "postgres")
    ),
    *(
        Case(name=f"1,000 runs at once of 5 tasks of 10 ms, {where}", method="many_runs", unit="s", where=where,
             arguments={"runs": 1000, "tasks": 5})
        for where in ("sqlite", "postgres")
    ),
    *(
        Case(name=f"memory of one of 1,000 runs at once, {where}", method="many_runs_bytes", unit="KiB a run",
             scale=1 / 1024, where=where, arguments={"runs": 1000, "tasks": 5})
        for where in ("sqlite",)
    ),
    *(
        Case(name=f"turn {n:,} of a thread", method="turn", unit="ms", scale=_MS, where="sqlite", arguments={"n": n},
             is_slow=n > 1000)
        for n in (10, 100, 1000, 10_000)
    ),
    Case(name="file of a thread of 1,000 turns, 0.8 MB said", method="thread_bytes", unit="MB", scale=1e-6,
         where="sqlite", arguments={"n": 1000}),
    *(
        Case(name=f"streamed chunk, {colour}", method="chunk", unit="µs", scale=_US, arguments={"n": 10_000, "colour": colour})
        for colour in ("sync", "async")
    ),
    *(
        Case(name=f"first streamed chunk, {colour}", method="first_chunk", unit="µs", scale=_US, arguments={"colour": colour})
        for colour in ("sync", "async")
    ),
    *(
        Case(name=f"memory: {verb} at {n:,} items", method=f"store_{verb}", unit="µs", scale=_US, where="sqlite",
             arguments={"n": n}, is_slow=n > 10_000)
        for n in (1000, 10_000, 100_000) for verb in ("get", "put", "list", "search", "filter", "namespaces")
    ),
    Case(name="start with 100,000 threads in the file", method="start", unit="ms", scale=_MS, where="sqlite",
         arguments={"threads": 100_000}, is_slow=True),
    Case(name="growth over 100,000 runs", method="growth", unit="MiB", scale=2.0**-20, arguments={"runs": 100_000},
         is_slow=True),
    Case(name="tasks run again after SIGKILL, 10 tries", method="killed", unit="", where="sqlite",
         arguments={"tries": 10, "tasks": 500}, is_slow=True),
]  # fmt: skip
