"""A person looks at what an agent is about to do: accepts it, edits it, answers instead, or refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clew import Command, Database, InMemorySaver
from clew.agents import create_agent
from support.scripted import ON_1, Script, calls, results


def mailer() -> tuple[Any, list[str]]:
    sent: list[str] = []

    def send_mail(to: str, text: str = "Hi") -> str:
        """Send a mail."""
        sent.append(f"{to}: {text}")
        return f"sent to {to}"

    return send_mail, sent


@pytest.mark.parametrize(
    ("decision", "told", "done"),
    [
        ({"action": "accept"}, "sent to ann", ["ann: Hi"]),
        (
            {"action": "edit", "arguments": {"to": "ben"}},
            'A person changed the arguments to {"to": "ben"}. Result: sent to ben',
            ["ben: Hi"],
        ),
        ({"action": "answer", "answer": "She knows already."}, "She knows already.", []),
        ({"action": "refuse", "why": "too late"}, "A person refused this: too late", []),
        ({"action": "refuse"}, "A person refused this: no reason given", []),
    ],
)
def test_a_person_decides(decision: Any, told: str, done: list[str], tmp_path: Path) -> None:
    send_mail, sent = mailer()
    model = Script(calls(send_mail={"to": "ann"}), "Done.")
    with Database(tmp_path / "a.db") as database:
        agent = create_agent(model, [send_mail], approve={"send_mail"}, database=database)
        [question] = agent.invoke("Write to Ann", ON_1)["__interrupt__"]
        assert question.value == {"tool": "send_mail", "arguments": {"to": "ann"}, "description": "Send a mail."}
        assert sent == []
    with Database(tmp_path / "a.db") as database:
        agent = create_agent(model, [send_mail], approve={"send_mail"}, database=database)
        assert results(agent.invoke(Command(resume=decision), ON_1).messages) == [told]
    assert sent == done
    assert len(model.asked) == 2


def test_an_answer_that_is_none_is_asked_for_again() -> None:
    send_mail, sent = mailer()
    agent = create_agent(
        Script(calls(send_mail={"to": "ann"}), "Done."),
        [send_mail],
        approve={"send_mail"},
        checkpointer=InMemorySaver(),
    )
    agent.invoke("Write to Ann", ON_1)
    [again] = agent.invoke(Command(resume="yes"), ON_1)["__interrupt__"]
    assert "whose action is accept, edit" in again.value["problem"]
    edited = {"action": "edit", "arguments": {"subject": "x"}}
    [again] = agent.invoke(Command(resume=edited), ON_1)["__interrupt__"]
    assert "to: Missing required argument" in again.value["problem"]
    agent.invoke(Command(resume={"action": "accept"}), ON_1)
    assert sent == ["ann: Hi"]


def test_what_could_not_be_done_is_asked_of_nobody() -> None:
    send_mail, _ = mailer()
    model = Script(calls(send_mail={"too": "ann"}), "Sorry.")
    reply = create_agent(model, [send_mail], approve={"send_mail"}).invoke("Write to Ann")
    assert reply.text == "Sorry."


def test_all_questions_are_asked_at_once_and_other_tools_are_used_meanwhile() -> None:
    send_mail, sent = mailer()
    looked: list[str] = []

    def look_up(name: str) -> str:
        looked.append(name)
        raise LookupError(name)

    both = calls(send_mail={"to": "ann"}, look_up={"name": "ann"})
    both["tool_calls"].append({**both["tool_calls"][0], "id": "second"})
    agent = create_agent(
        Script(both, "Done."), [send_mail, look_up], approve=["send_mail"], checkpointer=InMemorySaver()
    )
    asked = agent.invoke("Write twice", ON_1)["__interrupt__"]
    assert (len(asked), looked) == (2, ["ann"])
    reply = agent.invoke(Command(resume={question.id: {"action": "accept"} for question in asked}), ON_1)
    assert results(reply.messages) == ["sent to ann", "Error: LookupError: ann", "sent to ann"]
    assert (len(sent), looked) == (2, ["ann"])
