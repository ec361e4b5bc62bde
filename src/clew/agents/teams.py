"""Several agents in one thread, who hand the conversation over to one another. Each of them is a workflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from clew import Workflow, add_messages, entrypoint
from clew.agents.forms import given
from clew.agents.loop import Reply
from clew.errors import InvalidOption, TooManyRounds


class Talk(TypedDict):
    """What a team keeps on its thread."""

    messages: list[Any]
    speaker: str


def create_team(
    members: Sequence[Workflow[Any, Reply]], *, max_hand_overs: int = 10, name: str = "team", **options: Any
) -> Workflow[Any, Reply]:
    """Make a workflow of agents who share a thread: who spoke last goes on, until they hand over.

    Args:
        members: agents of `create_agent` without a database of their own, each with a name, and with tools made by
            `hand_over(to=...)`. The first one begins.
        max_hand_overs: how often the conversation may be passed on in a turn.
        name: of the workflow.
        options: those of `@entrypoint`, such as `database`.

    Raises:
        InvalidOption: no members, or two of one name.
    """
    team = {member.name: member for member in members}
    if not team or len(team) != len(members):
        raise InvalidOption("a team needs members, each with a name of its own")

    async def talk(input: Any, *, previous: Talk | None = None) -> entrypoint.final[Reply, Talk]:
        before = previous or Talk(messages=[], speaker=next(iter(team)))
        messages, speaker = add_messages(before["messages"], given(input)), before["speaker"]
        for _ in range(max_hand_overs + 1):
            reply = await team[speaker].ainvoke(messages)
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
