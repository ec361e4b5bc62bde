"""The Model Context Protocol, by the official package: tools of servers as tasks, workflows and a store as a server.

Use tools:   Connection, RemoteTool, ToolAnswer
Serve:       serve
"""

from __future__ import annotations

from clew.integrations.mcp.answers import ToolAnswer
from clew.integrations.mcp.connection import Connection, RemoteTool
from clew.integrations.mcp.serving import serve

__all__ = ["Connection", "RemoteTool", "ToolAnswer", "serve"]
