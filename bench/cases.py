"""What is measured: each case is one method of a peer, with its arguments and a unit. Less is better in every case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_US, _MS = 1e6, 1e3
_KEPT = {
    "none": "kept nowhere", "memory": "in memory", "sqlite": "SQLite without flushing cost", "disk": "SQLite on disk",
    "normal": "SQLite on disk, NORMAL", "postgres": "PostgreSQL",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of the table.

    Args:
        name: shown, and chosen by.
        method: of the peers; one that a peer lacks is left out for it.
        unit: of the figure that the method returns, after `scale`.
        scale: what a figure in seconds, bytes or pieces is multiplied with.
        where: "none"; "memory"; "sqlite", on a file system without the cost of flushing; "disk"; "normal", the same
            with synchronous=NORMAL; "postgres".
        arguments: passed to the method by name.
        goal: the figure that Clew's is not to exceed, or None.
        peer_then: what LangGraph took on the machine for which the goal was set, in the same unit, or None. On a slower
            machine the goal is the ratio of the two.
        goal_floors: how many times the floor's figure Clew's is not to exceed, or None.
        is_slow: left out with --quick.
    """

    name: str
    method: str
    unit: str
    scale: float = 1.0
    where: str = "none"
    arguments: dict[str, Any] = field(default_factory=dict)
    goal: float | None = None
    peer_then: float | None = None
    goal_floors: float | None = None
    is_slow: bool = False


def _imports() -> list[Case]:
    return [
        Case(name="import, time", method="import_s", unit="ms", scale=_MS, goal=70, peer_then=710),
        Case(name="import and a first run, time", method="import_and_run_s", unit="ms", scale=_MS),
        Case(name="import, memory", method="import_bytes", unit="MiB", scale=2.0**-20, goal=25),
        Case(name="import, distributions", method="import_distributions", unit="", goal=3),
    ]


def _empty_runs() -> list[Case]:
    return [
        Case(name=f"an empty run, {colour}, {_KEPT[where]}", method="empty", unit="µs", scale=_US, where=where,
             arguments={"colour": colour}, goal=30 if where == "none" else None,
             peer_then={"sync": 1740, "async": 572}[colour])
        for where in ("none", "memory", "sqlite", "disk", "postgres") for colour in ("sync", "async")
    ]  # fmt: skip


# With what LangGraph took beside each.
_PLAIN_GOALS = {
    ("sequence", "sync"): (5, 930), ("fan", "sync"): (25, 569), ("sequence", "async"): (8, 382),
    ("fan", "async"): (20, 403),
}  # fmt: skip


def _tasks() -> list[Case]:
    """One after another and fanned out; the sizes beside 1,000 for one shape and colour only."""
    kinds = [
        (where, shape, colour, n)
        for where in _KEPT for shape in ("sequence", "fan") for colour in ("sync", "async")
        for n in ((1, 10, 100, 1000, 10_000) if (shape, colour) == ("sequence", "sync") else (1000,))
    ]  # fmt: skip
    return [
        Case(name=f"{shape} of {n:,}, {colour}, {_KEPT[where]}", method=shape, unit="µs a task", scale=_US / n,
             where=where, arguments={"n": n, "colour": colour},
             goal=goal, peer_then=peer_then,
             goal_floors=_task_floors(where, shape) if n == 1000 else None,
             is_slow=n not in (100, 1000) or (where == "normal" and (shape, colour) != ("sequence", "sync")))
        for where, shape, colour, n in kinds
        for goal, peer_then in [_task_goal(where, shape, colour) if n == 1000 else (None, None)]
    ]  # fmt: skip


def _task_goal(where: str, shape: str, colour: str) -> tuple[float | None, float | None]:
    """Return the goal for tasks, and what LangGraph took beside it."""
    if where == "none":
        return _PLAIN_GOALS[shape, colour]
    return (40, 1488) if (where, shape) == ("postgres", "fan") else (None, None)


def _task_floors(where: str, shape: str) -> float | None:
    if shape == "fan":
        return None
    return {"sqlite": 2.0, "disk": 1.3, "postgres": 1.3}.get(where)


def _threads() -> list[Case]:
    return [
        *(
            Case(name=f"resume past 1,000 records, {_KEPT[where]}", method="resume", unit="ms", scale=_MS, where=where,
                 arguments={"n": 1000}, goal=goal, peer_then=peer_then)
            for where, goal, peer_then in (("sqlite", 3, 286), ("postgres", 5, 352))
        ),
        *(
            Case(name=f"1,000 runs at once of 5 tasks of 10 ms, {_KEPT[where]}", method="many_runs", unit="s",
                 where=where, arguments={"runs": 1000, "tasks": 5}, goal=goal, peer_then=peer_then)
            for where, goal, peer_then in (("sqlite", 0.3, 14.1), ("postgres", 0.5, 11.4))
        ),
        Case(name="the same, most memory", method="many_runs_bytes", unit="KiB a run", scale=1 / 1024, where="sqlite",
             arguments={"runs": 1000, "tasks": 5}, goal=10),
        *(
            Case(name=f"turn {n:,} of a thread", method="turn", unit="ms", scale=_MS, where="sqlite",
                 arguments={"n": n}, is_slow=n > 1000)
            for n in (10, 100, 1000, 10_000)
        ),
        Case(name="a thread of 1,000 turns, 0.8 MB said", method="thread_bytes", unit="MB", scale=1e-6,
             where="sqlite", arguments={"n": 1000}, goal=1.5),
        Case(name="first run after opening, 100,000 threads", method="start", unit="ms", scale=_MS, where="sqlite",
             arguments={"threads": 100_000}, is_slow=True),
    ]  # fmt: skip


def _streams() -> list[Case]:
    return [
        *(
            Case(name=f"each of 10,000 streamed chunks, {colour}", method="chunk", unit="µs", scale=_US,
                 arguments={"n": 10_000, "colour": colour}, goal=goal, peer_then=peer_then)
            for colour, goal, peer_then in (("sync", 1, 7.5), ("async", 2, 6.3))
        ),
        *(
            Case(name=f"first streamed chunk, {colour}", method="first_chunk", unit="µs", scale=_US,
                 arguments={"colour": colour}, goal=goal, peer_then=peer_then)
            for colour, goal, peer_then in (("sync", 250, 1320), ("async", 60, 720))
        ),
    ]  # fmt: skip


_VERBS = {
    "get": ("get", None, 2.0), "put": ("put", None, 2.0), "search": ("search in one namespace", None, 2.0),
    "list": ("list under a prefix", 200, None), "filter": ("filter by equality", 200, None),
    "namespaces": ("list namespaces", 200, None), "words": ("search by words", None, None),
}  # fmt: skip


def _memories() -> list[Case]:
    return [
        Case(name=f"memory: {told}, {n:,} items", method=f"store_{verb}", unit="µs", scale=_US, where="sqlite",
             arguments={"n": n}, goal=goal, goal_floors=floors, is_slow=n not in (1000, 100_000))
        for n in (1000, 10_000, 100_000, 1_000_000) for verb, (told, goal, floors) in _VERBS.items()
    ]  # fmt: skip


def _promises() -> list[Case]:
    return [
        Case(name="growth of a process over 1,000,000 runs", method="growth", unit="bytes a run",
             arguments={"runs": 1_000_000}, is_slow=True),
        Case(name="tasks run again after SIGKILL, 14 times 500", method="killed", unit="", where="sqlite",
             arguments={"tries": 14, "tasks": 500}, goal=0, is_slow=True),
    ]  # fmt: skip


CASES: list[Case] = [
    *_imports(), *_empty_runs(), *_tasks(), *_threads(), *_streams(), *_memories(), *_promises(),
]  # fmt: skip
