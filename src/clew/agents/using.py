"""What becomes of the calls that a model asks for: each is a task, perhaps after a person was asked.

What goes wrong in a tool is told to the model, which may try otherwise. What goes wrong in Clew ends the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from clew import Task, TaskFuture, ToolUse, interrupt, task, watched
from clew.agents.forms import Json, Message, ToolCall
from clew.agents.schemas import as_text, is_async
from clew.agents.tools import OF_THE_CALL, Told, Tool
from clew.errors import (
    InvalidOption,
    NotInWorkflow,
    NotRecordable,
    RecordedFailure,
    ReplayError,
    RunStopped,
    StorageError,
    Suspended,
)

ACTIONS = "accept, edit (with arguments), answer (with answer) or refuse (perhaps with why)"
# Not the model's business: the run fails, and may be continued.
_OURS = (ReplayError, StorageError, RunStopped, NotInWorkflow, NotRecordable, InvalidOption)
_NOTHING: Json = {}


class Toolbox:
    """The tools of an agent, ready for use.

    Args:
        tools: by name.
        approve: the names of those that a person is asked about.
    """

    def __init__(self, tools: Mapping[str, Tool], approve: Collection[str]) -> None:
        self.tools = tools
        self.specs = [tool.spec for tool in tools.values()]
        self._uses = {name: _as_task(tool, approved=name in approve) for name, tool in tools.items()}

    async def use(self, calls: Sequence[ToolCall], messages: list[Message]) -> list[Json]:
        """Use tools side by side, and return the messages that tell the model what came of it, in its order.

        Raises:
            Suspended: a question waits; those who ask none have come to their end.
        """
        started = [self._start(call, messages) for call in calls]
        told: list[Json] = []
        asked: Suspended | None = None
        for call, use in zip(calls, started, strict=True):
            try:
                told.append(_message(call, await _told(use)))
            except Suspended as question:
                asked = question  # the others come to their end, or to their questions, too
        if asked is not None:
            raise asked
        return told

    def handed_to(self, calls: Sequence[ToolCall]) -> str | None:
        """Return who goes on, if one of the calls hands over."""
        return next((tool.to for call in calls if (tool := self.tools.get(call.name)) and tool.to), None)

    def _start(self, call: ToolCall, messages: list[Message]) -> TaskFuture[str | Told] | str:
        if call.name not in self.tools:
            return f"Error: there is no tool {call.name!r}; there are {', '.join(self.tools) or 'none'}"
        known = {"messages": messages, "tool_call_id": call.id}
        asked = {name: known[name] for name in sorted(self.tools[call.name].asks_for & OF_THE_CALL)}
        return self._uses[call.name](call.arguments, *([asked] if asked else []))


def _message(call: ToolCall, told: str | Told) -> Json:
    return {**call.result(told.text), "artifact": told.artifact} if isinstance(told, Told) else call.result(told)


def _as_task(tool: Tool, *, approved: bool) -> Task[..., str | Told]:
    """Return the task that uses a tool, of the tool's name and colour; it returns what the model is told."""

    def begin(arguments: Json, known: Json) -> tuple[Json | None, str]:
        tool.read(arguments)  # nobody is asked about what could not be done
        decided, note = _decision(tool, arguments) if approved else (arguments, "")
        return None if decided is None else tool.given(decided, known), note

    def seen(arguments: Json) -> ToolUse:
        return ToolUse(name=tool.name, description=tool.description, arguments=arguments)

    async def use_async(arguments: Json, known: Json = _NOTHING) -> str | Told:
        taken, note = begin(arguments, known)
        if taken is None:
            return note
        with watched(seen(arguments)) as used:
            return _noted(used, note, await tool.function(**taken))

    def use(arguments: Json, known: Json = _NOTHING) -> str | Told:
        taken, note = begin(arguments, known)
        if taken is None:
            return note
        with watched(seen(arguments)) as used:
            return _noted(used, note, tool.function(**taken))

    uses: Callable[..., Any] = use_async if is_async(tool.function) else use
    return task(uses, name=tool.name)


def _noted(used: ToolUse, note: str, given: Any) -> str | Told:
    """Return what the model is told: what the tool gave, after what a person did about the call."""
    used.result = text = given.text if isinstance(given, Told) else as_text(given)
    return replace(given, text=note + text) if isinstance(given, Told) else note + text


def _decision(tool: Tool, arguments: Json) -> tuple[Json | None, str]:
    """Ask a person, again where the answer is none. Return the arguments to go on with, or None; and what to tell."""
    question: Json = {"tool": tool.name, "arguments": arguments, "description": tool.description}
    while True:
        match interrupt(question):
            case {"action": "accept"}:
                return arguments, ""
            case {"action": "edit", "arguments": dict() as edited}:
                try:
                    tool.read(edited)
                    return edited, f"A person changed the arguments to {json.dumps(edited)}. Result: "
                except ValueError as error:
                    question = {**question, "problem": str(error)}
            case {"action": "answer", "answer": str() as answer}:
                return None, answer
            case {"action": "refuse", **more}:
                return None, f"A person refused this: {more.get('why') or 'no reason given'}"
            case _:
                question = {**question, "problem": f"answer with a dict whose action is {ACTIONS}"}


async def _told(outcome: TaskFuture[str | Told] | str) -> str | Told:
    """Return what the model is told of a tool that ran, or failed."""
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
