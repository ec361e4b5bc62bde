"""Agents hand the conversation over to one another, or use each other as tools."""

from __future__ import annotations

from typing import Any

import pytest

from clew import Command, InMemorySaver, InMemoryStore, entrypoint
from clew.agents import Reply, create_agent, create_team, hand_over
from clew.errors import InvalidOption, TooManyRounds
from clew.testing import crash_everywhere
from support.scripted import ON_1, Script, calls, results


def said_by(messages: list[dict[str, Any]]) -> int:
    return sum(message["role"] == "assistant" for message in messages)


def test_who_was_handed_the_conversation_goes_on_also_in_the_next_turn() -> None:
    guide = Script(calls(hand_over_to_innkeeper={}))
    innkeeper = Script(None, "The Sea View.", "From two.")
    team = create_team(
        [
            create_agent(guide, [hand_over("innkeeper", "knows hotels")], name="guide"),
            create_agent(innkeeper, prompt="Hotels.", name="innkeeper"),
        ],
        checkpointer=InMemorySaver(),
    )
    first = team.invoke("Where would I sleep?", ON_1)
    assert first.text == "The Sea View."
    assert [message["role"] for message in first.messages] == ["user", "assistant", "tool", "assistant"]
    assert results(first.messages) == ["innkeeper goes on."]
    assert team.invoke("From when?", ON_1).text == "From two."
    assert (len(guide.asked), len(innkeeper.asked)) == (1, 2)
    assert team.get_state(ON_1).saved["speaker"] == "innkeeper"


def test_members_remember_in_the_memory_of_their_team() -> None:
    store = InMemoryStore()
    model = Script(calls(manage_memory={"content": "Likes tea."}), "Noted.")
    member = create_agent(model, memory=("m", "{user_id}"), name="a")
    team = create_team([member], store=store, checkpointer=InMemorySaver())
    assert team.invoke("I like tea", ON_1).text == "Noted."
    [kept] = store.search(())
    assert (kept.namespace, kept.value) == (("m", "bob"), {"content": "Likes tea.", "thread": "1"})


def test_a_team_survives_every_crash() -> None:
    def book(room: str) -> str:
        return f"booked {room}"

    guide = create_agent(Script(calls(hand_over_to_clerk={})), [hand_over("clerk", "books")], name="guide")
    clerk = create_agent(Script(None, calls(book={"room": "7"}), "Done."), [book], approve={"book"}, name="clerk")
    report = crash_everywhere(
        create_team([guide, clerk]), "Book 7", answer=lambda question: {"action": "accept"},
        same=lambda one, other: results(one.messages) == results(other.messages),
    )  # fmt: skip
    assert results(report.value.messages) == ["clerk goes on.", "booked 7"]


def test_a_team_that_cannot_agree_is_stopped() -> None:
    team = create_team(
        [
            create_agent(Script(*[calls(hand_over_to_b={})] * 9), [hand_over("b", "always")], name="a"),
            create_agent(Script(*[calls(hand_over_to_a={})] * 9), [hand_over("a", "always")], name="b"),
        ],
        max_hand_overs=3,
    )
    with pytest.raises(TooManyRounds, match="passed on more than 3 times") as caught:
        team.invoke("go")
    assert len(caught.value.messages) == 1 + 4 * 2


def test_plain_functions_and_workflows_are_members_too() -> None:
    def greeter(messages: list[Any]) -> str:
        return f"Hello, {messages[-1]['content']}."

    @entrypoint
    async def router(messages: list[Any]) -> Reply:
        """Pass on what is about rooms."""
        about_rooms = "room" in messages[-1]["content"]
        return Reply(text="Which room?", to="clerk" if about_rooms else None)

    async def clerk(messages: list[Any]) -> dict[str, Any]:
        return {"role": "assistant", "content": f"Room {sum(m['role'] == 'user' for m in messages)}."}

    team = create_team([router, clerk, greeter], checkpointer=InMemorySaver())
    first = team.invoke("Hi", ON_1)
    assert (first.text, [message["role"] for message in first.messages]) == ("Which room?", ["user", "assistant"])
    second = team.invoke("A room", ON_1)
    assert second.text == "Room 2."
    assert [message["content"] for message in second.messages] == ["A room", "Which room?", "Room 2."]
    alone = create_team([greeter]).invoke("Bob")
    assert (alone.text, alone.messages[-1]["role"]) == ("Hello, Bob.", "assistant")


def test_a_team_of_functions_survives_every_crash() -> None:
    def first(messages: list[Any]) -> Reply:
        return Reply(text="", to="second")

    def second(messages: list[Any]) -> str:
        return "Done."

    report = crash_everywhere(create_team([first, second]), "go", same=lambda one, other: one.text == other.text)
    assert report.value.text == "Done."


def test_a_team_is_checked() -> None:
    with pytest.raises(InvalidOption, match="'a' keeps threads of its own"):
        create_team([create_agent(Script("ok"), name="a", checkpointer=InMemorySaver())])
    with pytest.raises(InvalidOption, match="no member of a team: 3"):
        create_team([3])
    alone = create_agent(Script(calls(hand_over_to_nobody={})), [hand_over("nobody", "never")], name="a")
    with pytest.raises(InvalidOption, match=r"hands over to 'nobody', but the team is \['a'\]"):
        create_team([alone]).invoke("go")
    with pytest.raises(InvalidOption, match="each with a name of its own"):
        create_team([alone, alone])


def test_a_supervisor_uses_agents_as_tools_and_their_questions_reach_the_person() -> None:
    def book(room: str) -> str:
        """Book a room."""
        return f"booked {room}"

    clerk = create_agent(
        Script(calls(book={"room": "7"}), "Room 7 is yours."),
        [book],
        approve={"book"},
        name="clerk",
        description="Books.",
    )
    boss = Script(calls(clerk={"request": "a room"}), "Done.")
    agent = create_agent(boss, [clerk], checkpointer=InMemorySaver())
    [question] = agent.invoke("A room, please", ON_1)["__interrupt__"]
    assert question.value["arguments"] == {"room": "7"}
    reply = agent.invoke(Command(resume={"action": "accept"}), ON_1)
    assert (results(reply.messages), reply.text) == (["Room 7 is yours."], "Done.")
    assert boss.told[0]["function"]["description"] == "Books."
    assert len(boss.asked) == 2


def test_an_agent_that_never_ends_is_a_failed_tool_also_after_a_question() -> None:
    def again() -> str:
        return "more"

    lost = create_agent(Script(*[calls(again={})] * 3), [again], max_rounds=2, name="lost")
    boss = Script(calls(lost={"request": "go"}), calls(again={}), "Done.")
    agent = create_agent(boss, [lost, again], approve={"again"}, checkpointer=InMemorySaver())
    agent.invoke("go", ON_1)
    first, _ = results(agent.invoke(Command(resume={"action": "accept"}), ON_1).messages)
    assert first.startswith("Error: TooManyRounds: the model was asked 2 times")
