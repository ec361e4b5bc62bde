"""The agents who talk with a person for as long as it takes, with Anthropic's SDK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clew import Command
from support.provider import Provider
from support.provider_protocols import Answer, Use

ON_1: dict[str, Any] = {"configurable": {"thread_id": "1"}}
TO_SOMMELIER = Answer(text="One moment.", uses=(Use(tool="hand_over", arguments={"to": "sommelier"}, id="use_1"),))


def spoken(result: Any) -> tuple[str, str]:
    [question] = result["__interrupt__"]
    return question.value["from"], question.value["text"]


def test_a_conversation_of_many_turns_in_one_run(
    example: Any, anthropic: Any, provider: Provider, open_database: Any
) -> None:
    provider.will("Risotto?", TO_SOMMELIER, "A Soave.", "Chilled.")

    def answer(text: str) -> Any:
        """Answer in what could be a new process."""
        return example("many_turns").build(anthropic, open_database()).invoke(Command(resume=text), ON_1)

    table_talk = example("many_turns").build(anthropic, open_database())
    assert spoken(table_talk.invoke("What shall I cook?", ON_1)) == ("cook", "Risotto?")
    assert spoken(answer("Fine. And to drink?")) == ("sommelier", "A Soave.")
    assert spoken(answer("How cold?")) == ("sommelier", "Chilled.")  # whoever spoke last goes on
    assert answer("bye") == "sommelier"

    assert len(provider.requests) == 4  # no answer of the model was asked for twice
    last = provider.requests[-1]
    assert [message["role"] for message in last["messages"]] == ["user", "assistant"] * 3 + ["user"]
    assert last["system"].startswith("You help to choose what to drink.")


def test_it_runs_as_a_program_that_may_be_stopped_at_any_turn(play: Callable[..., Any], provider: Provider) -> None:
    provider.will("Risotto?", TO_SOMMELIER, "A Soave.")
    first = play("many_turns", typed="What shall I cook?\n", environment=provider.environment())
    assert "cook> Risotto?" in first.stdout, first.stderr
    second = play("many_turns", typed="And to drink?\nbye\n", environment=provider.environment())
    assert "cook> Risotto?" in second.stdout, second.stderr
    assert "sommelier> A Soave." in second.stdout
