"""LangGraph's functional API under measurement, with the same durability and the same settings of SQLite."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

from bench.memories import LangGraphMemories
from bench.peers.base import SQLITE
from bench.peers.lasting import Lasting
from bench.peers.streaming import Streaming


class LangGraph(Lasting, Streaming, LangGraphMemories):
    imports = "from langgraph.func import entrypoint, task"

    def __init__(self, where: str, folder: str, postgres: str) -> None:
        super().__init__(where, folder, postgres)
        from langgraph.config import get_stream_writer
        from langgraph.func import entrypoint, task

        self.task, self.entrypoint, self.get_stream_writer = task, entrypoint, get_stream_writer
        self.options = {"durability": "sync"} if where != "none" else {}

    def saver(self, *, asynchronous: bool = False) -> Any:
        if self.where in SQLITE:
            return self._async_sqlite() if asynchronous else self._sqlite()
        if self.where == "postgres":
            return self._postgres(asynchronous)
        from langgraph.checkpoint.memory import InMemorySaver

        return InMemorySaver() if self.where == "memory" else None

    def _sqlite(self) -> Any:
        from langgraph.checkpoint.sqlite import SqliteSaver

        connection = sqlite3.connect(self.file, check_same_thread=False)
        connection.execute(f"PRAGMA synchronous={self.synchronous}")
        saver = SqliteSaver(connection)
        saver.setup()
        return saver

    @contextlib.asynccontextmanager
    async def _async_sqlite(self) -> AsyncIterator[Any]:
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        async with AsyncSqliteSaver.from_conn_string(self.file) as saver:
            await saver.conn.execute(f"PRAGMA synchronous={self.synchronous}")
            yield saver

    def _postgres(self, asynchronous: bool) -> Any:
        from langgraph.checkpoint.postgres import PostgresSaver
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

        if asynchronous:
            return AsyncPostgresSaver.from_conn_string(self.postgres)
        self._entered = PostgresSaver.from_conn_string(self.postgres)
        saver = self._entered.__enter__()
        saver.setup()
        return saver
