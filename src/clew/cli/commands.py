"""The commands that one types in `clew chat`, each a function of the chat and what follows the command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clew.cli import memories
from clew.cli.threads import new_thread_id
from clew.errors import UsageError

if TYPE_CHECKING:
    from clew.cli.chat import Chat


class Leave(Exception):
    """The person wants to go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something that can be typed.

    Args:
        usage: as it is typed.
        about: what it does, in a few words.
        run: does it, given what followed the command.
    """

    usage: str
    about: str
    run: Callable[[Chat, str], None]


def run_command(chat: Chat, line: str) -> None:
    """Do what a line that begins with a slash asks for.

    Raises:
        Leave: the person wants to go.
        UsageError: there is no such command, or it was given nothing to work on.
    """
    name, _, argument = line.partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        raise UsageError(f"there is no command {name}; /help shows those there are")
    command.run(chat, argument.strip())


def _memories(chat: Chat, argument: str) -> None:
    found = memories.all_of(chat.store, chat.user_id)
    chat.screen.listing((item.key, str(item.value["data"])) for item in found)
    if not found:
        chat.screen.note(f"Nothing is remembered about {chat.user_id}.")


def _forget(chat: Chat, argument: str) -> None:
    if not argument:
        raise UsageError("/forget needs a key, or its first characters; /memories shows the keys")
    text = memories.forget(chat.store, chat.user_id, argument)
    chat.screen.note(f"Forgotten: {text}")


def _threads(chat: Chat, argument: str) -> None:
    mine = [(thread_id, _summary(chat, thread_id)) for thread_id in chat.threads.of(chat.user_id)]
    chat.screen.listing(mine)
    if not mine:
        chat.screen.note(f"{chat.user_id} has no threads yet.")


def _summary(chat: Chat, thread_id: str) -> str:
    messages = chat.threads.messages(thread_id)
    here = ", this one" if thread_id == chat.thread_id else ""
    begins = messages[0]["content"] if messages else "nothing was answered yet"
    return f"{len(messages)} messages{here}: {begins}"


def _new(chat: Chat, argument: str) -> None:
    chat.move_to(argument or new_thread_id())
    chat.screen.note(f"Thread {chat.thread_id}. What you asked me to remember is still there.")


def _retry(chat: Chat, argument: str) -> None:
    chat.say(None)


def _help(chat: Chat, argument: str) -> None:
    chat.screen.listing((command.usage, command.about) for command in COMMANDS.values())


def _quit(chat: Chat, argument: str) -> None:
    raise Leave


COMMANDS = {
    "/memories": Command(usage="/memories", about="what is remembered about you, with its keys", run=_memories),
    "/forget": Command(usage="/forget KEY", about="forget one memory; the first characters will do", run=_forget),
    "/threads": Command(usage="/threads", about="your conversations", run=_threads),
    "/new": Command(usage="/new [THREAD]", about="begin a conversation, or go on with one", run=_new),
    "/retry": Command(usage="/retry", about="ask again after the model did not answer", run=_retry),
    "/help": Command(usage="/help", about="this list", run=_help),
    "/quit": Command(usage="/quit", about="leave (so do Ctrl-D and Ctrl-C)", run=_quit),
}
