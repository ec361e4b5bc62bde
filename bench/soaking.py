"""The processes of a soak: workers that carry calls out, and callers that submit messages and call directly.

    python -m bench.soaking work ADDRESS
    python -m bench.soaking call ADDRESS NAME FOLDER

A message is "NAME-NUMBER"; each caller sends its messages to every thread in the order of their numbers. What was
accepted is written down only afterwards, so that a caller may be killed at any moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from clew import Checkpointer, Database, PostgresSaver, Worker, Workflow, entrypoint, get_runtime, get_store, task
from clew.errors import Conflict, RunStopped, StorageError, ThreadBusy

THREADS = 12
CALLERS_IN_A_PROCESS = 4


class Kept:
    """Where everything is kept: one SQLite file, or threads in PostgreSQL."""

    def __init__(self, address: str) -> None:
        self.checkpointer: Checkpointer
        self.database: Database | None = None
        if address.startswith("postgres"):
            self.checkpointer = PostgresSaver(address, schema="soak")
        else:
            self.database = Database(address, synchronous="NORMAL")
            self.checkpointer = self.database.checkpointer

    @property
    def parts(self) -> dict[str, Any]:
        """What an entrypoint takes."""
        return {"checkpointer": self.checkpointer} if self.database is None else {"database": self.database}

    def close(self) -> None:
        self.checkpointer.close()
        if self.database is not None:
            self.database.close()


def workflows(kept: Kept, marks: Path | None = None) -> dict[str, Workflow[Any, Any]]:
    """Return a blocking workflow and an async one, each of which adds a message to what its thread has."""

    def mark(message: str) -> None:
        if marks is not None:
            with marks.open("a") as file:
                file.write(message + "\n")

    @task
    def note(message: str) -> str:
        mark(message)
        if kept.database is not None:
            get_store().put(("told",), message, {"by": get_runtime().execution_info.thread_id})  # type: ignore[union-attr]
        return message

    @task
    async def anote(message: str) -> str:
        mark(message)
        if kept.database is not None:
            await get_store().aput(("told",), message, {"by": get_runtime().execution_info.thread_id})  # type: ignore[union-attr]
        return message

    @task
    def length(number: int) -> int:
        return number

    @entrypoint(**kept.parts, wait_s=30)
    def blocking(message: str, *, previous: Any = None) -> list[str]:
        noted, lengths = note(message), [length(number) for number in range(3)]
        assert [future.result() for future in lengths] == [0, 1, 2]
        return [*(previous or []), noted.result()]

    @entrypoint(**kept.parts, wait_s=30)
    async def waiting(message: str, *, previous: Any = None) -> list[str]:
        lengths = await asyncio.gather(*[length(number) for number in range(3)])
        assert lengths == [0, 1, 2]
        return [*(previous or []), await anote(message)]

    return {"blocking": blocking, "waiting": waiting}


def config(thread: int, how: str) -> dict[str, Any]:
    """Name a thread; submitted messages and those that are called directly have threads of their own."""
    return {"configurable": {"thread_id": f"{how}-{thread}"}}


def work(address: str, folder: Path) -> None:
    """Carry out what was submitted, and what was left half-way, until SIGTERM."""
    kept = Kept(address)
    worker = Worker(kept.checkpointer, workflows(kept, folder / "marks.txt").values(), poll_s=0.05, max_crashes=1000)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    worker.run()
    kept.close()


def call(address: str, name: str, folder: Path) -> None:
    """Send messages from several OS threads and from coroutines until SIGTERM."""
    kept, stop = Kept(address), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    flows = workflows(kept, folder / "marks.txt")
    senders = [
        threading.Thread(target=send, args=(flows, f"{name}.{number}", folder, stop))
        for number in range(CALLERS_IN_A_PROCESS)
    ]
    for sender in senders:
        sender.start()
    asyncio.run(acall_many(flows["waiting"], name, folder, stop))
    for sender in senders:
        sender.join()
    kept.close()


def send(flows: dict[str, Workflow[Any, Any]], name: str, folder: Path, stop: threading.Event) -> None:
    """Submit messages, and call directly every third time, one after the other."""
    chance, number = random.Random(name), 0
    while not stop.is_set():
        number += 1
        thread, message = chance.randrange(THREADS), f"{name}-{number:06}"
        flow = flows[chance.choice(["blocking", "waiting"])]
        if number % 3:
            with trying():
                flow.submit(message, config(thread, "submitted"), run_key=message)
                accepted(folder, flow.name, "submitted", thread, message)
        else:
            with trying():
                flow.invoke(message, config(thread, "called"), run_key=message)
                accepted(folder, flow.name, "called", thread, message)
        stop.wait(chance.random() * 0.05)


async def acall_many(flow: Workflow[Any, Any], name: str, folder: Path, stop: threading.Event) -> None:
    """Call directly from coroutines on one loop."""

    async def one(number: int) -> None:
        chance, sent = random.Random(f"{name}{number}"), 0
        while not stop.is_set():
            sent += 1
            thread, message = chance.randrange(THREADS), f"{name}.a{number}-{sent:06}"
            with trying():
                await flow.ainvoke(message, config(thread, "called"), run_key=message)
                accepted(folder, flow.name, "called", thread, message)
            await asyncio.sleep(chance.random() * 0.1)

    await asyncio.gather(*[one(number) for number in range(CALLERS_IN_A_PROCESS)])


@contextlib.contextmanager
def trying() -> Any:
    """Let a call fail as calls may when processes die and freeze; it then counts as not accepted."""
    begun_s = time.monotonic()
    try:
        yield
    except (Conflict, ThreadBusy, RunStopped) as error:
        print(type(error).__name__, flush=True)
    except StorageError as error:
        code = getattr(error.__cause__, "sqlite_errorname", "")
        print(f"after {time.monotonic() - begun_s:.1f} s: {code} {error}", flush=True)
        time.sleep(0.1)


def accepted(folder: Path, flow: str, how: str, thread: int, message: str) -> None:
    """Write down that a message was accepted, in one write."""
    line = f"{flow} {how}-{thread} {message}\n".encode()
    descriptor = os.open(folder / "accepted.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line)
    os.close(descriptor)


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    if what == "work":
        work(where, Path(rest[0]))
    else:
        call(where, rest[0], Path(rest[1]))
