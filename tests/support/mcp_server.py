"""An MCP server made with the official package: tools that answer, fail, ask, wait and die.

Started as a program it speaks over stdio; with a port, over streamable HTTP. It knows nothing of Clew.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Elicit, Image, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

server: MCPServer[Any] = MCPServer("things", log_level="ERROR")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def refuse(why: str) -> str:
    """Fail on purpose."""
    raise ToolError(why)


@server.tool()
def draw() -> list[str | Image]:
    """Say something and show it."""
    return ["a dot", Image(data=b"dot", format="png")]


@server.tool(name="odd.name/1")
def odd(config: str, self: str) -> str:
    """Take arguments whose names mean something elsewhere."""
    return f"{config} {self}"


@server.tool()
def process() -> int:
    """Tell who answers."""
    return os.getpid()


@server.tool()
def die() -> str:
    """End without an answer."""
    os._exit(3)


@server.tool()
def die_once(mark: str) -> str:
    """End without an answer, but answer the next process that is asked."""
    if Path(mark).exists():
        return "here again"
    Path(mark).touch()
    os._exit(3)


@server.tool()
async def dawdle() -> str:
    """Never answer."""
    await asyncio.sleep(3600)
    return "at last"


class Address(BaseModel):
    street: str


def _ask_for_address(what: str) -> Elicit[Address]:
    return Elicit(f"Where is {what} to go?", Address)


@server.tool()
def send(what: str, address: Annotated[Address, Resolve(_ask_for_address)]) -> str:
    """Send something; a person is asked where to."""
    return f"{what} goes to {address.street}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()
