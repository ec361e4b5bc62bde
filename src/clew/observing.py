"""Who watches this process: the one observer that is told what its runs do. For integrations, such as tracing."""

from __future__ import annotations

from clew.engine.activities import (
    Activity,
    AgentTurn,
    ModelCall,
    Observer,
    ToolUse,
    WatchedAttempt,
    WatchedCall,
    WatchedMemory,
    WatchedRun,
    WatchedSubmission,
)
from clew.runner.watching import observe, watched

__all__ = [
    "Activity",
    "AgentTurn",
    "ModelCall",
    "Observer",
    "ToolUse",
    "WatchedAttempt",
    "WatchedCall",
    "WatchedMemory",
    "WatchedRun",
    "WatchedSubmission",
    "observe",
    "watched",
]
