"""One turn of an agent: ask the model, use the tools it wants, tell it the results, until it has an answer.

Each of these is a task. What they are told is in the messages; nothing is kept here from turn to turn.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from clew import Task, add_messages
from clew.agents.forms import NOTICE, Message, ToolCall, calls_in, text_of
from clew.agents.schemas import Schema
from clew.agents.using import Toolbox
from clew.errors import TooManyRounds

ANSWER = "answer"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What an agent answered.

    Args:
        text: of its last message.
        output: what it was to give (see `create_agent`), else None.
        messages: what this turn added to the thread, its input first.
        to: who is to go on, where the agent handed over.
    """

    text: str
    output: Any = None
    messages: list[Any] = field(default_factory=list)
    to: str | None = None

    @property
    def value(self) -> Any:
        """The output, or the text of an agent that has none."""
        return self.text if self.output is None else self.output

    def __str__(self) -> str:
        return self.text


async def take_turn(
    messages: list[Message],
    *,
    ask: Task[..., Message],
    tools: Toolbox,
    notes: Sequence[Task[..., str]],
    output: Schema | None,
    max_rounds: int,
) -> tuple[list[Message], Reply]:
    """Answer a conversation; return it with all that was added, and the answer.

    Args:
        messages: the conversation.
        ask: gives the model's message, from the conversation and the notes.
        tools: those that the model may use.
        notes: give more to tell it, from the conversation, once in a turn.
        output: what the answer is to be, or None for text.
        max_rounds: how often the model may be asked.

    Raises:
        TooManyRounds: it never came to an end.
    """
    started = [note(messages) for note in notes]
    noted = [await note for note in started]
    for _ in range(max_rounds):
        reply = await ask(messages, noted)
        messages = add_messages(messages, reply)
        calls = calls_in(reply)
        if calls:
            messages = add_messages(messages, await tools.use(calls, messages))
        if to := tools.handed_to(calls):
            return messages, Reply(text=text_of(reply), to=to)
        answer = _answer(reply, calls, output)
        if isinstance(answer, Reply):
            return messages, answer
        if not calls:
            messages = add_messages(messages, {"role": "user", "name": NOTICE, "content": answer})
    raise TooManyRounds(
        f"the model was asked {max_rounds} times and did not come to an end. Everything it did is recorded: "
        "to go on, raise max_rounds and call invoke(None, config)",
        messages,
    )


def _answer(reply: Message, calls: Sequence[ToolCall], output: Schema | None) -> Reply | str:
    """Return the agent's answer if this is its last message, or what keeps it from being one."""
    if output is None:
        return "" if calls else Reply(text=text_of(reply))
    problem = ""
    for given in [call.arguments for call in calls if call.name == ANSWER] if calls else [text_of(reply)]:
        try:
            text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
            return Reply(text=text, output=output.read(given))
        except ValueError as error:
            problem = str(error)
    return f"Give your answer by calling the tool `{ANSWER}`, or as JSON alone that it would take. {problem}"
