"""Whose threads there are, and what was said on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from clew import Database
from clew.cli.assistant import Message
from clew.storage.base import ListThreads

MOST_SHOWN = 1000


def new_thread_id() -> str:
    """Return a thread id that nobody has used."""
    return uuid4().hex[:8]


def config_of(thread_id: str, user_id: str) -> dict[str, Any]:
    """Return the config that names a thread; the user is kept with it."""
    return {"configurable": {"thread_id": thread_id, "user_id": user_id}}


class Threads:
    """The threads of one workflow on one database.

    Args:
        database: keeps them.
        workflow: the assistant.
    """

    def __init__(self, database: Database, workflow: Any) -> None:
        self._database = database
        self._workflow = workflow

    def owner(self, thread_id: str) -> str | None:
        """Return the user whose thread it is, or None where there is no such thread."""
        state = self._state(thread_id)
        return str(state.metadata["user_id"]) if state.exists else None

    def messages(self, thread_id: str) -> list[Message]:
        """Return what was said on a thread so far, oldest first."""
        saved: list[Message] | None = self._state(thread_id).saved
        return saved or []

    def of(self, user_id: str) -> Iterator[str]:
        """Give the ids of a user's threads, those used last first; of the newest `MOST_SHOWN` of all users."""
        kept = self._database.checkpointer.execute(ListThreads(workflow=self._workflow.name, limit=MOST_SHOWN))
        yield from (thread.thread_id for thread in kept if self.owner(thread.thread_id) == user_id)

    def _state(self, thread_id: str) -> Any:
        return self._workflow.get_state({"configurable": {"thread_id": thread_id}})
