"""The model is shown what fits, calls stay with their results, a summary is made once, and the thread keeps all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clew import InMemorySaver
from clew.agents import create_agent, trim
from clew.agents.history import tokens_of
from support.provider_rules import wrong_with_chat_completion
from support.scripted import ON_1, Script

LONG = "word " * 40


@dataclass
class City:
    city: str


def turn(rounds: int, length: int) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "x" * length}]
    for number in range(rounds):
        ids = [f"{number}-{one}" for one in range(1 + number % 2)]
        made = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in ids]
        messages.append({"role": "assistant", "content": "", "tool_calls": made})
        messages += [{"role": "tool", "tool_call_id": id, "content": "y" * length} for id in ids]
    return [*messages, {"role": "assistant", "content": "z" * length}]


@given(st.lists(st.builds(turn, st.integers(0, 4), st.integers(0, 60)), min_size=1, max_size=5), st.integers(0, 400))
def test_what_is_left_is_what_providers_take(turns: list[list[dict[str, Any]]], budget: int) -> None:
    said = [message for one in turns for message in one]
    for messages in (said, said[:-1]):  # answered, and in the middle of a turn
        left = trim(messages, budget)
        assert wrong_with_chat_completion({"model": "m", "messages": left}) is None
        assert left[0]["role"] == "user"
        at = iter(messages)
        assert all(any(one is other for other in at) for one in left)  # in their order
        asked = [message for message in messages if message["role"] == "user"][-1]
        assert asked in left
        if tokens_of(messages) <= budget:
            assert left == messages


def test_nothing_is_trimmed_to_nothing() -> None:
    assert trim([], 10) == []


def test_the_model_is_shown_the_newest_turns_and_the_thread_keeps_all() -> None:
    model = Script(*["ok"] * 4)
    agent = create_agent(
        lambda messages: model(messages, []) | {"content": LONG}, budget=130, checkpointer=InMemorySaver()
    )
    for text in "abcd":
        agent.invoke(text, ON_1)
    assert [len(messages) for messages in model.asked] == [1, 3, 5, 5]
    assert model.asked[-1][0]["content"] == "b"
    assert len(agent.get_state(ON_1).saved) == 8


def test_the_users_question_is_shown_however_often_the_answer_does_not_fit() -> None:
    said, asked = iter([LONG, LONG, '{"city": "Oslo"}']), list[list[dict[str, Any]]]()

    def model(messages: list[dict[str, Any]]) -> dict[str, Any]:
        asked.append(messages)
        return {"role": "assistant", "content": next(said)}

    create_agent(model, output=City, budget=60).invoke("Which city?")
    assert [messages[0]["content"] for messages in asked] == ["Which city?"] * 3
    assert "Give your answer" in asked[-1][-1]["content"]


def test_tokens_may_be_counted_by_the_models_own_rules() -> None:
    model = Script(*["ok"] * 4)
    agent = create_agent(model, budget=20, count_tokens=lambda text: 1, checkpointer=InMemorySaver())
    for text in ("a", LONG, LONG, "d"):  # five tokens each, with those that every message costs
        agent.invoke(text, ON_1)
    assert [len(messages) for messages in model.asked] == [1, 3, 3, 3]


def test_an_image_is_not_counted_by_its_bytes() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    shown = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}]
    assert 1000 < tokens_of(shown) < 1100


def test_a_long_summary_is_shown_all_the_same() -> None:
    def model(messages: list[dict[str, Any]]) -> dict[str, Any]:
        asked.append(messages)
        return {"role": "assistant", "content": LONG * 2}

    asked: list[list[dict[str, Any]]] = []
    agent = create_agent(model, budget=110, summarise=True, checkpointer=InMemorySaver())
    for text in "abc":
        agent.invoke(text, ON_1)
    assert asked[-1][0]["content"].startswith("Summary of what came before")
    assert asked[-1][-1]["content"] == "c"


def test_older_turns_are_summarised_once() -> None:
    asked: list[list[dict[str, Any]]] = []

    def model(messages: list[dict[str, Any]]) -> dict[str, Any]:
        asked.append(messages)
        summarises = messages[0]["content"].startswith("Summarise")
        return {"role": "assistant", "content": f"sum {len(asked)}" if summarises else LONG}

    agent = create_agent(model, budget=140, summarise=True, checkpointer=InMemorySaver())
    for text in "abcde":
        agent.invoke(text, ON_1)
    summaries = [messages for messages in asked if messages[0]["content"].startswith("Summarise")]
    assert len(summaries) == 1
    assert summaries[0][1]["content"].startswith("user: a\nassistant: word")
    shown = asked[-1]
    assert shown[0]["content"] == "Summary of what came before:\nsum 4"
    assert [message["role"] for message in shown] == ["system", "user", "assistant", "user", "assistant", "user"]
    saved = agent.get_state(ON_1).saved
    assert [message["role"] for message in saved].count("system") == 1
    assert [message["content"] for message in saved if message["role"] == "user"] == list("abcde")
