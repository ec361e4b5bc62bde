"""One turn of an agent: ask the model, use the tools it wants side by side, tell it the results, until it needs none.

Each of these is a task. What they are told is in the messages; nothing is kept here from turn to turn.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clew import RetryPolicy, Task, TaskFuture, add_messages, get_runtime, task
from clew.agents.forms import Message, ToolCall, calls_in, reply_with_id, role_of, text_of
from clew.agents.history import SUMMARY, older_turns, since_summary, trim
from clew.agents.models import Ask
from clew.agents.schemas import Schema
from clew.agents.tools import Tool, as_task
from clew.errors import (
    InvalidOption,
    NotInWorkflow,
    RecordedFailure,
    ReplayError,
    RunStopped,
    StorageError,
    Suspended,
    TooManyRounds,
)

ANSWER = "answer"
# Not the model's business: the run fails, and may be continued.
_OURS = (ReplayError, StorageError, RunStopped, NotInWorkflow, InvalidOption)
_SUMMARISE = "Summarise this conversation for yourself, so that you can go on with it: facts, decisions, what is open."


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


@dataclass(kw_only=True)
class Loop:
    """What an agent is made of.

    Args:
        ask: the model, and whether it is async.
        tools: by name.
        prompt: what the model is told first.
        notes: tasks that give more to tell it, from the messages, once in a turn.
        output: what the answer is to be, or None for text.
        approve: names of the tools that a person is asked about.
        budget: tokens of the conversation that the model is shown, or None for all.
        summarise: whether what is beyond the budget is summarised.
        max_rounds: how often the model may be asked in a turn.
        model_retry: after which failures it is asked again.
    """

    ask: tuple[Ask, bool]
    tools: Mapping[str, Tool]
    prompt: str
    notes: Sequence[Task[..., str]]
    output: Schema | None
    approve: Collection[str]
    budget: int | None
    summarise: bool
    max_rounds: int
    model_retry: RetryPolicy | Sequence[RetryPolicy] | None

    def __post_init__(self) -> None:
        if unknown := set(self.approve) - set(self.tools):
            raise InvalidOption(f"approve names {sorted(unknown)}, but the tools are {sorted(self.tools)}")
        ends = {name for name, tool in self.tools.items() if tool.to is not None or (self.output and name == ANSWER)}
        if wrong := ends & set(self.approve):
            raise InvalidOption(f"approve names {sorted(wrong)}, but what ends a turn does nothing to be asked about")
        if self.summarise and self.budget is None:
            raise InvalidOption("summarise=True needs a budget: budget=4000 tokens, say")
        self._uses = {name: as_task(tool, approved=name in self.approve) for name, tool in self.tools.items()}
        specs = [tool.spec for tool in self.tools.values()]
        self._call_model = _asking("call_model", self.ask, self._request, specs, self.model_retry)
        self._call_for_summary = _asking("summarise", self.ask, _summary_request, [], self.model_retry)

    async def turn(self, messages: list[Message]) -> tuple[list[Message], Reply]:
        """Answer a conversation; return it with all that was added, and the answer.

        Raises:
            TooManyRounds: the model never came to an end.
        """
        started = [note(messages) for note in self.notes]
        notes = [await note for note in started]
        for _ in range(self.max_rounds):
            reply = await self._call_model(messages, notes)
            messages = add_messages(messages, reply)
            calls = calls_in(reply)
            if calls:
                messages = add_messages(messages, await self._results(calls, messages))
            if (ended := self._ended(reply, calls)) is not None:
                return messages, ended
            if not calls:
                wish = f"Give your answer by calling the tool `{ANSWER}`, or as JSON alone that it would take."
                messages = add_messages(messages, {"role": "user", "content": wish})
        raise TooManyRounds(
            f"the model was asked {self.max_rounds} times and did not come to an end. Everything it did is recorded: "
            "to go on, raise max_rounds and call invoke(None, config)",
            messages,
        )

    async def shortened(self, messages: list[Message]) -> list[Message]:
        """Return a conversation with a summary of its older turns in it, where it is beyond the budget."""
        if not self.summarise or self.budget is None:
            return messages
        recent = since_summary(messages)
        if not (older := older_turns(recent, self.budget)):
            return messages
        summary = text_of(await self._call_for_summary(recent[:older]))
        at = len(messages) - len(recent) + older
        made = {"role": "system", "name": SUMMARY, "content": f"Summary of what came before:\n{summary}"}
        return add_messages([], [*messages[:at], made, *messages[at:]])

    def _request(self, messages: Sequence[Message], notes: Sequence[str]) -> list[Message]:
        system = "\n\n".join(part for part in (self.prompt, *notes) if part)
        recent = since_summary(messages)
        shown = recent if self.budget is None else trim(recent, self.budget)
        return [*([{"role": "system", "content": system}] if system else []), *shown]

    async def _results(self, calls: Sequence[ToolCall], messages: list[Message]) -> list[Message]:
        started = [self._use(call, messages) for call in calls]
        told: list[Message] = []
        asked: Suspended | None = None
        for call, use in zip(calls, started, strict=True):
            try:
                told.append(call.result(await _told(use)))
            except Suspended as question:
                asked = question  # the others come to their end, or to their questions, too
        if asked is not None:
            raise asked
        return told

    def _use(self, call: ToolCall, messages: list[Message]) -> TaskFuture[str] | str:
        if call.name not in self.tools:
            return f"Error: there is no tool {call.name!r}; there are {', '.join(self.tools) or 'none'}"
        sees = "messages" in self.tools[call.name].asks_for
        return self._uses[call.name](call.arguments, *([messages] if sees else []))

    def _ended(self, reply: Message, calls: Sequence[ToolCall]) -> Reply | None:
        """Return the agent's answer if this is its last message."""
        for call in calls:
            if call.name in self.tools and (to := self.tools[call.name].to) is not None:
                return Reply(text=text_of(reply), to=to)
        if self.output is None:
            return None if calls else Reply(text=text_of(reply))
        for given in [call.arguments for call in calls if call.name == ANSWER] if calls else [text_of(reply)]:
            try:
                text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
                return Reply(text=text, output=self.output.read(given))
            except ValueError:
                continue  # the model was told so
        return None


def _asking(
    name: str,
    ask: tuple[Ask, bool],
    request: Callable[..., list[Message]],
    tools: list[Any],
    retry: RetryPolicy | Sequence[RetryPolicy] | None,
) -> Task[..., Message]:
    """Return the task that asks the model, in its colour."""
    function: Callable[..., Any]
    function, is_async = ask

    async def ask_async(*given: Any) -> Any:
        return reply_with_id(await function(request(*given), tools), get_runtime().idempotency_key)

    def ask_blocking(*given: Any) -> Any:
        return reply_with_id(function(request(*given), tools), get_runtime().idempotency_key)

    return task(ask_async if is_async else ask_blocking, name=name, retry_policy=retry)


def _summary_request(messages: Sequence[Message]) -> list[Message]:
    said = [f"{role_of(m)}: {text_of(m)}{_calls_told(m)}" for m in messages]
    return [{"role": "system", "content": _SUMMARISE}, {"role": "user", "content": "\n".join(said)}]


def _calls_told(message: Message) -> str:
    return "".join(f" [{call.name} {json.dumps(call.arguments)}]" for call in calls_in(message))


async def _told(outcome: TaskFuture[str] | str) -> str:
    """Return what the model is told of a tool that ran, or failed: then it may try otherwise."""
    if isinstance(outcome, str):
        return outcome
    try:
        return await outcome
    except _OURS:
        raise
    except Exception as error:
        # The same words on replay, where an error of an unknown class comes back as a RecordedFailure.
        if isinstance(error, RecordedFailure):
            return f"Error: {error.name.rpartition('.')[2]}: {error.message}"
        return f"Error: {type(error).__name__}: {error}"
