"""Threads, runs, records and places for the suite of a checkpointer."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# These are tests: values of any shape go in, on purpose of wrong types as well.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from clew import Checkpointer
from clew.engine.records import Piece, Queued, Record, Run, ThreadKey, Work
from clew.storage.base import Append, Begin, End, Lease, Load
from clew.storage.queueing import FindWork

THREAD = ThreadKey("1", "flow")
OTHER = ThreadKey("2", "flow")
LONG_S = 1e12


def new_run(id: str, number: int = 0, **more: Any) -> Run:
    given: dict[str, Any] = {"source": "input", "parent": None, "previous": None, "step": -1, "status": "running"}
    return Run(id=id, number=number, **{**given, "input": b"in", "created_s": 0.0, **more})


def begin(saver: Checkpointer, id: str = "r1", *, thread: ThreadKey = THREAD, **more: Any) -> Lease:
    """Begin a new run after whatever is there, or take up the newest if it has that id."""
    head = saver.execute(Load(thread))
    run = new_run(id, head.number + 1 if head else 0)
    if head is not None and head.id == id:
        run = replace(head, status="running", attempts=head.attempts + 1)
    given = {"owner": "a", "until_s": LONG_S, "now_s": 0.0, **more}
    return saver.execute(Begin(thread=thread, run=run, head=head, **given))


def end(saver: Checkpointer, lease: Lease, status: Any = "done", **more: Any) -> None:
    saver.execute(Append(lease=lease, end=End(status=status, ended_s=1.0, **more)))


def record(key: str, **more: Any) -> Record:
    given: dict[str, Any] = {"name": "t", "fingerprint": b"f", "arguments": "1", "state": "value", "outcome": b"o"}
    return Record(key=key, **{**given, "attempts": 1, "started_s": 1.0, "ended_s": 2.0, **more})


def pieces_of(*ids: str) -> list[Piece]:
    """Pieces that follow one another."""
    return [Piece(id=id, before=before, count=1, body=b"x") for id, before in zip(ids, (None, *ids), strict=False)]


def place(id: str, *, thread: ThreadKey = THREAD, **more: Any) -> Queued:
    return Queued(id=id, thread=thread, **{"created_s": 0.0, **more})


def waits(id: str, owner: str, until_s: float = LONG_S, **more: Any) -> Queued:
    """A caller of a process."""
    return place(id, owner=owner, until_s=until_s, **more)


def work(saver: Checkpointer, *, now_s: float = 1.0, machine: str = "here/", **more: Any) -> Sequence[Work]:
    return saver.execute(FindWork(workflows=["flow"], now_s=now_s, machine=machine, **more))


def status(saver: Checkpointer) -> str | None:
    run = saver.execute(Load(THREAD))
    return run.status if run else None
