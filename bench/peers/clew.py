"""Clew under measurement."""

from __future__ import annotations

from typing import Any

from bench.memories import ClewMemories
from bench.peers.base import SQLITE
from bench.peers.lasting import Lasting
from bench.peers.streaming import Streaming


class Clew(Lasting, Streaming, ClewMemories):
    imports = "from clew import entrypoint, task"

    def __init__(self, where: str, folder: str, postgres: str) -> None:
        super().__init__(where, folder, postgres)
        import clew

        self.task, self.entrypoint, self.get_stream_writer = clew.task, clew.entrypoint, clew.get_stream_writer
        self.options = {}

    def saver(self, *, asynchronous: bool = False) -> Any:
        import clew

        if self.where == "postgres":
            return clew.PostgresSaver(self.postgres)
        if self.where in SQLITE:
            return clew.SqliteSaver(self.file, synchronous=self.synchronous)
        return clew.InMemorySaver() if self.where == "memory" else None
