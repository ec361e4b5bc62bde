"""Workers beside a test, and runs that look as if their process had died."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from clew import Checkpointer, Worker, Workflow
from clew.codec.values import encode
from clew.engine.records import Run, ThreadKey
from clew.engine.state import kept_config
from clew.storage.base import Append, Begin, End, Lease, Load
from support.colours import PATIENCE_S


@contextmanager
def working(database: Any, *workflows: Workflow[Any, Any], **options: Any) -> Iterator[Worker]:
    """Let a worker carry out what there is to do, on an OS thread of its own."""
    worker = Worker(database, workflows, **{"poll_s": 0.02, **options})
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def leave_half_way(
    saver: Checkpointer,
    workflow: str,
    thread_id: str,
    input: Any,
    *,
    crashes: int = 0,
    config: dict[str, Any] | bytes | None = None,
    lease_s: float = -1,
    owner: str = "elsewhere/1/1",
) -> Lease:
    """Begin a run as a process that died meanwhile, and whose lease has run out, unless it is for longer."""
    now_s = time.time()
    run = Run(
        id=uuid.uuid4().hex, number=0, source="input", parent=None, previous=None, step=-1,
        status="running", input=encode(input), created_s=now_s, crashes=crashes,
        metadata=config if isinstance(config, bytes) else encode(kept_config(config or {})),
    )  # fmt: skip
    begin = Begin(
        thread=ThreadKey(thread_id, workflow),
        run=run,
        head=None,
        owner=owner,
        until_s=now_s + lease_s,
        now_s=now_s,
    )
    return saver.execute(begin)


def head(saver: Checkpointer, workflow: str, thread_id: str) -> Run:
    """Return the newest run of a thread."""
    run = saver.execute(Load(ThreadKey(thread_id, workflow)))
    assert run is not None
    return run


def hand_over(saver: Checkpointer, lease: Lease) -> None:
    """Give a run back as a worker does that stops."""
    now_s = time.time()
    saver.execute(Append(lease=lease, end=End(status="running", ended_s=now_s, due_s=now_s)))


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    until_s, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not holds():
        assert time.monotonic() < until_s
        pause.wait(0.005)
