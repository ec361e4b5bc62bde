"""Tools of an MCP server as Clew's tasks. How the session with the server lives is in `sessions`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from clew import RetryPolicy, Task, TaskFuture, get_runtime, task
from clew.errors import InvalidOption, NotInWorkflow, ToolFailed
from clew.integrations.mcp import answers
from clew.integrations.mcp.answers import Json, ToolAnswer
from clew.integrations.mcp.sessions import Sessions

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import InputRequiredResult, InputResponses, RequestParamsMeta, Tool

RUN_KEY = "clew/run-key"
"""In what goes with a call: its name, the same after a crash. A server made by `serve` runs such a call once."""

_ASK_AGAIN_S = 0.1  # where a server wants to be asked again, and has no question


@dataclass(frozen=True, kw_only=True)
class RemoteTool:
    """A tool of an MCP server. Calling it starts a task; agents of `create_agent` take it as it is.

    Args:
        name: of the task, and for models.
        description: as the server gives it.
        parameters: JSON schema of the arguments, as the server gives it.
        task: the task itself.
    """

    name: str
    description: str
    parameters: Json
    task: Task[..., ToolAnswer]

    def __call__(self, /, **arguments: Any) -> TaskFuture[ToolAnswer]:
        """Use the tool.

        Raises:
            ToolFailed: the tool says that it failed, or the server refused the call.
            ConnectionError: the server cannot be reached, or went away before it answered.
        """
        return self.task(**arguments)


class Connection:
    """A connection to an MCP server, for the length of a `with` or `async with` block, or until `close`.

    The session is opened when it is first needed. Where it died, the next call opens another. A call that the server
    may have begun is not repeated unless `retry_policy` says so.

    Args:
        server: the server's address (streamable HTTP); or its command, such as ["uvx", "mcp-server-time"], which is
            started here and spoken to over stdio; or StdioServerParameters, to set its environment; or a function that
            makes an `mcp.Client`, to set headers and the like.
        retry_policy: after which failures a call is tried again; RetryPolicy() is right for tools that may be used
            twice: it tries again after lost connections and exceeded time limits.
        timeout_s: seconds that a call may take.
        prefix: put before the names of the tools, where several servers have tools of one name.

    Raises:
        InvalidOption: it names no server.
        MissingDependency: the extra `mcp` is not installed.
    """

    def __init__(
        self,
        server: Any,
        *,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        timeout_s: float | None = None,
        prefix: str = "",
    ) -> None:
        self._sessions = Sessions(server)
        self._retry_policy, self._timeout_s, self._prefix = retry_policy, timeout_s, prefix

    def tools(self, *names: str) -> list[RemoteTool]:
        """Ask the server for its tools.

        Args:
            names: those that are wanted, in this order, as the server names them; all by default.

        Raises:
            InvalidOption: the server has no such tool.
            ConnectionError: the server cannot be reached.
        """
        return self._chosen(self._sessions.submit(_list_tools).result(), names)

    async def atools(self, *names: str) -> list[RemoteTool]:
        """Like `tools`, for async code."""
        return self._chosen(await asyncio.wrap_future(self._sessions.submit(_list_tools)), names)

    def close(self) -> None:
        """End the session, and the server if it was started here. Closing twice is fine."""
        self._sessions.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def _chosen(self, offered: Sequence[Tool], names: Sequence[str]) -> list[RemoteTool]:
        known = {tool.name: tool for tool in offered}
        if missing := [name for name in names if name not in known]:
            raise InvalidOption(f"the MCP server {self._sessions.name} has no tool {missing[0]!r}, but {sorted(known)}")
        return [self._made(known[name]) for name in names or known]

    def _made(self, tool: Tool) -> RemoteTool:
        # Other servers' names may hold periods and slashes, which models' providers refuse.
        name = self._prefix + re.sub(r"[^A-Za-z0-9_-]", "_", tool.name)

        async def call(**arguments: Any) -> ToolAnswer:
            return await self._call(tool.name, arguments)

        made = task(call, name=name, retry_policy=self._retry_policy, timeout=self._timeout_s)
        return RemoteTool(name=name, description=tool.description or "", parameters=tool.input_schema, task=made)

    async def _call(self, name: str, arguments: Json) -> ToolAnswer:
        from mcp import MCPError
        from mcp.types import CallToolResult

        meta = _meta()
        responses: InputResponses | None = None
        state: str | None = None

        async def ask(client: Client) -> CallToolResult | InputRequiredResult:
            return await client.session.call_tool(
                name, arguments, input_responses=responses, request_state=state, meta=meta, allow_input_required=True
            )

        while True:
            try:
                result = await asyncio.wrap_future(self._sessions.submit(ask))
            except MCPError as error:
                raise ToolFailed(f"the MCP server {self._sessions.name} refused {name!r}: {error}") from error
            if isinstance(result, CallToolResult):
                return answers.read(result)
            if result.input_requests:
                responses = answers.asked(name, result.input_requests)
            else:
                responses = None
                await asyncio.sleep(_ASK_AGAIN_S)
            state = result.request_state


async def _list_tools(client: Client) -> list[Tool]:
    tools: list[Tool] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        if not (cursor := page.next_cursor):
            return tools


def _meta() -> RequestParamsMeta | None:
    try:
        # An open dict, which its type does not say.
        return cast("RequestParamsMeta", {RUN_KEY: get_runtime().idempotency_key})
    except NotInWorkflow:  # a task that is called alone
        return None
