"""A link to a database server that can be cut: a TCP port that passes bytes on to the server's socket."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg


class Link:
    """A port of this machine that leads to a server for as long as it is not cut.

    Args:
        address: of the server.
        host: the address of this machine at which the port is.
    """

    def __init__(self, address: str, host: str = "127.0.0.1") -> None:
        info = psycopg.conninfo.conninfo_to_dict(address)
        self._socket = Path(str(info["host"])) / f".s.PGSQL.{info.get('port', 5432)}"
        self._names = {"user": info["user"], "dbname": info["dbname"]}
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = False
        self._pipes: set[asyncio.StreamWriter] = set()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._pass_on, host, 0))
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    @property
    def address(self) -> str:
        """The address of the server, by this link."""
        host, port = self._server.sockets[0].getsockname()
        return psycopg.conninfo.make_conninfo("", host=host, port=port, **self._names)

    def freeze(self) -> None:
        """Let nothing through, in either direction, and say nothing about it."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def cut(self) -> None:
        """End all connections, and refuse new ones."""
        self._refuses = True
        self._loop.call_soon_threadsafe(self._end_all)

    def mend(self) -> None:
        """Let everything through again."""
        self._refuses = False
        self._loop.call_soon_threadsafe(self._flows.set)

    def close(self) -> None:
        """End it for good."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    def _end_all(self) -> None:
        for pipe in self._pipes:
            pipe.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        there_reader, there_writer = await asyncio.open_unix_connection(str(self._socket))
        pipes = {writer, there_writer}
        self._pipes |= pipes
        try:
            await asyncio.gather(self._copy(reader, there_writer), self._copy(there_reader, writer))
        finally:
            self._pipes -= pipes

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):  # streams would log a task that was cancelled
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@contextmanager
def link_to(address: str, host: str = "127.0.0.1") -> Iterator[Link]:
    """Give a link for the length of a block."""
    link = Link(address, host)
    try:
        yield link
    finally:
        link.close()
