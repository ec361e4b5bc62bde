"""The assistant of `clew chat`: an ordinary workflow, such as anyone would write. It knows nothing of terminals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol, TypedDict

from clew import Database, Workflow, add_messages, entrypoint, get_store, get_stream_writer, task
from clew.cli import memories

Message = dict[str, Any]


class Turn(TypedDict):
    """What one turn of a conversation begins with."""

    messages: list[Message]
    user_id: str


class Answers(Protocol):
    """Whoever writes the replies."""

    #: Shown to the person.
    name: str
    #: What it raises when it cannot answer.
    failures: tuple[type[Exception], ...]

    def reply(self, messages: list[Message], remembered: list[str], kept: str | None) -> AsyncIterator[str]:
        """Give the reply to the last message, piece by piece.

        Args:
            messages: the conversation, each with "role" and "content".
            remembered: what is known of the user that is nearest to the last message, best first.
            kept: what was kept because the last message asked for it, or None.
        """
        ...


def build_assistant(database: Database, model: Answers) -> Workflow[Turn, Message]:
    """Make the workflow of an assistant that remembers its users across threads.

    It is async, so that a reply can be broken off at once.
    """

    @task
    async def remember(user_id: str, text: str) -> None:
        await memories.keep(get_store(), user_id, text)

    @task
    async def call_model(messages: list[Message], user_id: str, kept: str | None) -> Message:
        remembered = await memories.related(get_store(), user_id, messages[-1]["content"])
        write, pieces = get_stream_writer(), list[str]()
        async for piece in model.reply(messages, remembered, kept):
            write(piece)
            pieces.append(piece)
        return {"role": "assistant", "content": "".join(pieces)}

    @entrypoint(database=database)
    async def assistant(
        turn: Turn, *, previous: list[Message] | None = None
    ) -> entrypoint.final[Message, list[Message]]:
        messages = add_messages(previous or [], turn["messages"])
        kept = memories.wish_in(turn["messages"][-1]["content"])
        if kept:  # a task of its own: a model that fails afterwards takes nothing back
            await remember(turn["user_id"], kept)
        reply = await call_model(messages, turn["user_id"], kept)
        return entrypoint.final(value=reply, save=add_messages(messages, [reply]))

    return assistant
