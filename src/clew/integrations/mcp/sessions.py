"""A session with an MCP server: opened when it is first needed, and again where it died. It knows no tasks.

The official client belongs to the asyncio task that opened it. So it lives on an event loop and an OS thread of its
own, and callers of any colour and loop wait for what happens there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from clew.errors import InvalidOption, MissingDependency, UsageError

if TYPE_CHECKING:
    from mcp import Client, StdioServerParameters

log = logging.getLogger("clew")
T = TypeVar("T")

MISSING = "MCP needs the official package: pip install 'clew[mcp]'"


class Sessions:
    """Asks a server, over one session at a time.

    Args:
        server: see `Connection`.

    Raises:
        InvalidOption: it names no server.
        MissingDependency: the extra `mcp` is not installed.
    """

    def __init__(self, server: Any) -> None:
        self._make, self.name = _maker(server), _name(server)
        self._lock = threading.Lock()
        self._stack = contextlib.ExitStack()
        self._portal: Any = None
        self._closed = False
        # Both touched on the portal's loop alone.
        self._newest: _Session | None = None
        self._lives: set[asyncio.Task[None]] = set()

    def submit(self, ask: Callable[[Client], Awaitable[T]]) -> Future[T]:
        """Ask the server; the future may be waited for anywhere, and cancelled.

        Raises:
            UsageError: closed before.
        """
        from anyio.from_thread import start_blocking_portal

        with self._lock:
            if self._closed:
                raise UsageError(f"the connection to the MCP server {self.name} was closed")
            if self._portal is None:
                self._portal = self._stack.enter_context(start_blocking_portal(name="clew-mcp"))
            asked: Future[T] = self._portal.start_task_soon(self._ask, ask)
            return asked

    def close(self) -> None:
        """End the session; a server that was started for it ends, too. Closing twice is fine."""
        with self._lock:
            self._closed = True
            if self._portal is not None:
                self._portal.call(self._end)
                self._portal = None
        self._stack.close()

    async def _ask(self, ask: Callable[[Client], Awaitable[T]]) -> T:
        """Ask; once more where the server did nothing, because it no longer knows the session, or lacks a header."""
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED, HEADER_MISMATCH, INVALID_REQUEST

        for is_last in (False, True):
            session = await self._opened()
            try:
                with session.in_use() as client:
                    return await ask(client)
            except MCPError as error:
                if error.code == CONNECTION_CLOSED:
                    session.retire()
                    raise ConnectionError(
                        f"the MCP server {self.name} went away before it answered; whether it did what it was asked "
                        f"is not known. A retry_policy would ask it again: {error}"
                    ) from error
                if not is_last and error.code == INVALID_REQUEST:  # so says a server that was started anew
                    session.retire()
                elif not is_last and error.code == HEADER_MISMATCH:
                    await session.client.list_tools()  # tells the client which arguments the server wants as headers
                else:
                    raise
        raise AssertionError("unreachable")

    async def _opened(self) -> _Session:
        if self._newest is None or self._newest.is_dead:
            if self._newest is not None:
                self._newest.retire()
            self._newest = _Session(self._make)
            self._lives.add(self._newest.life)
            self._newest.life.add_done_callback(self._lives.discard)
        session = self._newest
        try:
            await asyncio.shield(session.opened)  # a caller who is cancelled leaves it to the others
        except Exception as error:
            raise ConnectionError(f"the MCP server {self.name} cannot be reached: {_reason(error)}") from error
        return session

    async def _end(self) -> None:
        if self._newest is not None:
            self._newest.end()
        await asyncio.gather(*self._lives)


class _Session:
    """One session, from its opening to its end."""

    def __init__(self, make: Callable[[Watch], Client]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # So that asyncio does not complain of an error that nobody waited for.
        self.opened.add_done_callback(lambda opened: opened.cancelled() or opened.exception())
        self._ended = asyncio.Event()
        self._reads: Any = None
        self._retired = False
        self._users = 0
        self.client = make(self._watch)
        self.life = asyncio.create_task(self._live())

    @property
    def is_dead(self) -> bool:
        """Whether nothing can be asked any more; of a server that was started here this is known without asking."""
        gone = self._reads is not None and self._reads.statistics().open_send_streams == 0
        return self.life.done() or self._retired or gone

    @contextlib.contextmanager
    def in_use(self) -> Generator[Client]:
        """Keep the session from ending meanwhile because it was retired."""
        self._users += 1
        try:
            yield self.client
        finally:
            self._users -= 1
            if self._retired:
                self.retire()

    def retire(self) -> None:
        """Let it end once nobody waits for an answer any more."""
        self._retired = True
        if not self._users:
            self.end()

    def end(self) -> None:
        """End it; who waits for an answer gets none."""
        self._ended.set()

    async def _live(self) -> None:
        try:
            async with self.client:
                self.opened.set_result(None)
                await self._ended.wait()
        except Exception as error:
            if self.opened.done():
                log.debug("a session with an MCP server ended: %s", _reason(error))
            else:
                self.opened.set_exception(error)

    def _watch(self, reads: Any) -> None:
        self._reads = reads


Watch = Callable[[Any], None]
"""Is given the stream on which a server that was started here answers."""


def _maker(server: Any) -> Callable[[Watch], Client]:
    """Return what makes the client of a new session."""
    try:
        from mcp import Client, StdioServerParameters
    except ModuleNotFoundError as error:
        raise MissingDependency(MISSING) from error
    if isinstance(server, str) and "://" in server:
        return lambda watch: Client(server, elicitation_callback=_nobody_here)
    if isinstance(server, list | tuple) and server and all(isinstance(part, str) for part in server):
        server = StdioServerParameters(command=server[0], args=list(server[1:]))
    if isinstance(server, StdioServerParameters):
        return lambda watch: Client(_started(server, watch), elicitation_callback=_nobody_here)
    if not callable(server):
        raise InvalidOption(
            f"no MCP server: {server!r}; give its address (http://…), its command as a list of texts, "
            "StdioServerParameters, or a function that makes an mcp.Client"
        )
    make: Any = server
    return lambda watch: make()


@contextlib.asynccontextmanager
async def _started(server: StdioServerParameters, watch: Watch) -> AsyncGenerator[Any]:
    from mcp import stdio_client

    async with stdio_client(server) as (reads, writes):
        watch(reads)
        yield reads, writes


async def _nobody_here(context: Any, params: Any) -> Any:
    """Decline what a server of the older protocol asks in the middle of a call, when no run can be stopped to ask.

    To have this at all tells servers of the newer protocol that they may ask.
    """
    from mcp.types import ElicitResult

    return ElicitResult(action="cancel")


def _name(server: Any) -> str:
    named = getattr(server, "command", None) or getattr(server, "__name__", server)
    return " ".join(map(str, named)) if isinstance(named, list | tuple) else str(named)


def _reason(error: BaseException) -> str:
    """Return what went wrong first, in a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
