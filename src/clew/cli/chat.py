"""One conversation in a terminal: what is typed goes to the assistant, or is a command about the conversation."""

from __future__ import annotations

import asyncio

from clew import Database
from clew.cli.assistant import Answers, Turn, build_assistant
from clew.cli.commands import Leave, run_command
from clew.cli.screen import Screen
from clew.cli.threads import Threads, config_of, new_thread_id
from clew.errors import ClewError, UsageError


class Chat:
    """A person, the assistant, and the thread they are on.

    Args:
        database: keeps threads and memories.
        model: who answers.
        screen: where the person sits.
        user_id: whose memories are used.
        thread_id: the thread to begin or to go on with; a fresh one when None.

    Raises:
        UsageError: there is no user id, or the thread belongs to another user.
    """

    def __init__(
        self, *, database: Database, model: Answers, screen: Screen, user_id: str, thread_id: str | None
    ) -> None:
        if not user_id:
            raise UsageError("the user needs a name: --user NAME")
        self.store = database.store
        self.screen = screen
        self.user_id = user_id
        self.failed = False
        self._model = model
        self._assistant = build_assistant(database, model)
        self.threads = Threads(database, self._assistant)
        self.move_to(thread_id or new_thread_id())

    def talk(self) -> None:
        """Go on until the person leaves or the input ends."""
        for line in self.screen.lines():
            try:
                self._hear(line.strip())
            except Leave:
                return
            except ClewError as error:
                self._complain(str(error))
            except self._model.failures as error:
                self._complain(f"The model did not answer: {error}\nYour message is kept; /retry asks again.")

    def say(self, turn: Turn | None) -> None:
        """Give the assistant a turn, or None to go on with one that failed, and show the reply while it arrives."""
        asyncio.run(self._say(turn))

    def move_to(self, thread_id: str) -> None:
        """Go on on another thread.

        Raises:
            UsageError: it belongs to another user.
        """
        owner = self.threads.owner(thread_id)
        if owner not in (None, self.user_id):
            raise UsageError(f"the thread {thread_id!r} belongs to user {owner!r}; choose another")
        self.thread_id = thread_id

    def _hear(self, text: str) -> None:
        if text.startswith("/"):
            run_command(self, text)
        elif text:
            self.say({"messages": [{"role": "user", "content": text}], "user_id": self.user_id})

    async def _say(self, turn: Turn | None) -> None:
        pieces = self._assistant.astream(turn, config_of(self.thread_id, self.user_id), stream_mode="custom")
        await self.screen.reply(pieces)

    def _complain(self, text: str) -> None:
        self.failed = True
        self.screen.problem(text)
