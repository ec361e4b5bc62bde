"""What lasts: long threads, files with many of them, processes that live long, and processes that are killed."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import Any

from bench.killing import killed_once
from bench.peers.base import WORDS, resident_bytes
from bench.peers.functional import Functional

_PATIENCE_S = 60.0


class Lasting(Functional):
    """The same for Clew and LangGraph."""

    def turn(self, n: int) -> float:
        return self._turns(n)[0]

    def thread_bytes(self, n: int) -> float:
        return self._turns(n)[1]

    def _turns(self, n: int) -> tuple[float, float]:
        """Return the seconds of a turn after n others, and the bytes of the file then."""
        chat = self._chat()
        times: list[float] = []
        for number in range(n + 5):
            message = {"role": "user", "content": WORDS, "id": str(number)}
            began = time.perf_counter()
            chat.invoke(message, self.config("1"), **self.options)
            times.append(time.perf_counter() - began)
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what is in the log is in the file then
        return sorted(times[-5:])[2], float(os.path.getsize(self.file))

    def _chat(self) -> Any:
        @self.entrypoint(checkpointer=self.saver())
        def chat(message: dict[str, Any], *, previous: Any) -> Any:
            messages = [*(previous or []), message, {"role": "assistant", "content": WORDS, "id": f"a{message['id']}"}]
            return self.entrypoint.final(value=messages[-1], save=messages)

        return chat

    def start(self, threads: int) -> float:
        """Return the seconds from opening a file of many threads to the end of a run on one of them."""
        flow = self._workflows(self.saver())["sync", "sequence"]
        for number in range(threads):
            flow.invoke(0, self.config(str(number)), **self.options)
        began = time.perf_counter()
        self._workflows(self.saver())["sync", "sequence"].invoke(0, self.config("0"), **self.options)
        return time.perf_counter() - began

    def growth(self, runs: int) -> float:
        """Return by how many bytes the process grows with each run of two tasks; a minute's worth of them is enough."""
        flow = self._workflows(None)["sync", "sequence"]
        for _ in range(2000):
            flow.invoke(2)
        before, until, made = resident_bytes(), time.monotonic() + _PATIENCE_S, 0
        while made < runs and time.monotonic() < until:
            flow.invoke(2)
            made += 1
        return (resident_bytes() - before) / made

    def killed(self, tries: int, tasks: int) -> float:
        """Return how many tasks ran again, in all tries together."""
        return float(sum(killed_once(type(self).__name__.lower(), self.folder, tasks) for _ in range(tries)))
