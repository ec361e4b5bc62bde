"""Several agents in one thread, who hand the conversation over to one another. Each of them is a workflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypedDict

from clew import Workflow, add_messages, entrypoint
from clew.agents.forms import given, text_of
from clew.agents.loop import Reply
from clew.errors import InvalidOption, TooManyRounds


class Talk(TypedDict):
    """What a team keeps on its thread."""

    messages: list[Any]
    speaker: str


def create_team(
    members: Sequence[Any], *, max_hand_overs: int = 10, name: str = "team", **options: Any
) -> Workflow[Any, Reply]:
    """Make a workflow of agents who share a thread: who spoke last goes on, until they hand over.

    Args:
        members: agents with tools made by `hand_over(to=...)`; or other workflows and functions, blocking or async,
            from the messages to a text, a message, or a `Reply` that says who goes on: `Reply(text="", to=...)`. Each
            has a name of its own and no database. The first one begins.
        max_hand_overs: how often the conversation may be passed on in a turn.
        name: of the workflow.
        options: those of `@entrypoint`, such as `database`.

    Raises:
        InvalidOption: no members, two of one name, or something that can be none.
    """
    team = {member.name: member for member in map(_as_member, members)}
    if not team or len(team) != len(members):
        raise InvalidOption("a team needs members, each with a name of its own")

    async def talk(input: Any, *, previous: Talk | None = None) -> entrypoint.final[Reply, Talk]:
        before = previous or Talk(messages=[], speaker=next(iter(team)))
        messages, speaker = add_messages(before["messages"], given(input)), before["speaker"]
        for _ in range(max_hand_overs + 1):
            reply = _as_reply(await team[speaker].ainvoke(messages))
            messages = add_messages(messages, reply.messages)
            if reply.to is None:
                added = messages[len(before["messages"]) :]
                value = Reply(text=reply.text, output=reply.output, messages=added)
                return entrypoint.final(value=value, save=Talk(messages=messages, speaker=speaker))
            if reply.to not in team:
                raise InvalidOption(f"{speaker!r} hands over to {reply.to!r}, but the team is {sorted(team)}")
            speaker = reply.to
        raise TooManyRounds(f"the conversation was passed on more than {max_hand_overs} times", messages)

    workflow: Workflow[Any, Reply] = entrypoint(name=name, **options)(talk)
    return workflow


def _as_member(given: Any) -> Workflow[Any, Any]:
    if not isinstance(given, Workflow):
        if not callable(given) or not hasattr(given, "__name__"):
            raise InvalidOption(f"no member of a team: {given!r}; give an agent, a workflow or a function")
        return entrypoint(given)
    if given.checkpointer is not None:
        raise InvalidOption(f"{given.name!r} keeps threads of its own; members of a team share the team's")
    return given


def _as_reply(said: Any) -> Reply:
    """Return what a member said with the messages that say it; an agent's reply has them already."""
    if isinstance(said, Reply):
        message = {"role": "assistant", "content": said.text}
        return said if said.messages or not said.text else replace(said, messages=[message])
    if isinstance(said, str):
        return _as_reply(Reply(text=said))
    return Reply(text=text_of(said), messages=[said])
