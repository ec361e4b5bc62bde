"""Agents: workflows in which a model uses tools, asks before it acts, and remembers its users.

Nothing here can do more than your own code could: these files import what `import clew` gives to everybody. They are
short so that you may read them, and copy what you want to have otherwise.

Make agents:     create_agent, create_team, Reply
Choose models:   openai_model, anthropic_model; LangChain's models and plain functions as they are
Give them tools: Tool, hand_over; functions, tasks, agents, tools of LangChain and of MCP servers as they are
Remember:        memory_tools, recall
Keep it short:   trim
"""

from __future__ import annotations

from clew.agents.agent import create_agent
from clew.agents.history import trim
from clew.agents.loop import Reply
from clew.agents.memory import memory_tools, recall
from clew.agents.providers import anthropic_model, openai_model
from clew.agents.teams import create_team
from clew.agents.tools import Tool, hand_over

__all__ = [
    "Reply",
    "Tool",
    "anthropic_model",
    "create_agent",
    "create_team",
    "hand_over",
    "memory_tools",
    "openai_model",
    "recall",
    "trim",
]
