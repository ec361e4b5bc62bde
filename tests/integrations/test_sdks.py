"""OpenAI's and Anthropic's own SDKs in tasks, without LangChain: what they stream is shown as it comes, and once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from anthropic.types import Message
from openai import OpenAI
from openai.types.chat import ChatCompletionMessage
from openai.types.responses import Response

from clew import Checkpointer, Command, add_messages, entrypoint, interrupt, stream_message, task
from support.colours import thread
from support.provider import Provider

ASKED: list[Any] = [{"role": "user", "content": "Weather?"}]
SAID = "It rains in Oslo."


Speaks = Callable[[OpenAI, Anthropic], Iterator[tuple[Any, str]]]
"""Yields what a client streams, each with the piece of text in it."""


def chat_completions(openai: OpenAI, anthropic: Anthropic) -> Iterator[tuple[Any, str]]:
    for chunk in openai.chat.completions.create(model="m", messages=ASKED, stream=True):
        yield chunk, (chunk.choices[0].delta.content or "") if chunk.choices else ""


def responses(openai: OpenAI, anthropic: Anthropic) -> Iterator[tuple[Any, str]]:
    for event in openai.responses.create(model="m", input="Weather?", stream=True):
        yield event, event.delta if event.type == "response.output_text.delta" else ""


def responses_by_helper(openai: OpenAI, anthropic: Anthropic) -> Iterator[tuple[Any, str]]:
    with openai.responses.stream(model="m", input="Weather?") as events:
        for event in events:
            yield event, event.delta if event.type == "response.output_text.delta" else ""


def messages(openai: OpenAI, anthropic: Anthropic) -> Iterator[tuple[Any, str]]:
    for event in anthropic.messages.create(model="m", max_tokens=9, messages=ASKED, stream=True):
        is_text = event.type == "content_block_delta" and event.delta.type == "text_delta"
        yield event, event.delta.text if is_text else ""  # type: ignore[union-attr]


def messages_by_helper(openai: OpenAI, anthropic: Anthropic) -> Iterator[tuple[Any, str]]:
    with anthropic.messages.stream(model="m", max_tokens=9, messages=ASKED) as events:
        for event in events:
            yield event, event.text if event.type == "text" else ""


def plain_text(openai: OpenAI, anthropic: Anthropic) -> Iterator[tuple[Any, str]]:
    with anthropic.messages.stream(model="m", max_tokens=9, messages=ASKED) as events:
        for text in events.text_stream:
            yield text, text


@pytest.fixture(
    params=[chat_completions, responses, responses_by_helper, messages, messages_by_helper, plain_text],
    ids=lambda speaks: speaks.__name__,
)
def speaks(request: pytest.FixtureRequest) -> Speaks:
    """One way to stream a model."""
    chosen: Speaks = request.param
    return chosen


def test_what_a_client_streams_is_shown_as_it_comes_under_one_id_and_the_whole_is_not_shown_again(
    speaks: Speaks, openai: OpenAI, anthropic: Anthropic, provider: Provider, saver: Checkpointer
) -> None:
    provider.will(SAID)
    given: list[Any] = []
    pieces: list[str] = []

    @task
    def call_model(messages: list[Any]) -> dict[str, Any]:
        for chunk, text in speaks(openai, anthropic):
            stream_message(chunk)
            given.append(chunk)
            pieces.append(text)
        return {"role": "assistant", "content": "".join(pieces)}

    @entrypoint(checkpointer=saver)
    def flow(messages: list[Any]) -> list[Any]:
        messages = add_messages(messages, call_model(messages).result())
        interrupt("fine?")
        return messages

    shown = list(flow.stream(ASKED, thread(), stream_mode="messages"))
    assert all(chunk is sent for (chunk, _), sent in zip(shown, given, strict=True))
    told = [metadata["message_id"] for (_, metadata), text in zip(shown, pieces, strict=True) if text]
    assert len(told) == 4
    assert len(set(told)) == 1
    assert list(flow.stream(Command(resume=1), thread(), stream_mode="messages")) == []
    assert flow.get_state(thread()).saved[-1]["content"] == SAID


def test_models_asked_side_by_side_are_told_apart(
    speaks: Speaks, openai: OpenAI, anthropic: Anthropic, provider: Provider
) -> None:
    provider.will(SAID, SAID)

    @task
    def call_model(x: int) -> dict[str, Any]:
        said = ""
        for chunk, text in speaks(openai, anthropic):
            said += text
            stream_message(chunk, {"text": text})
        return {"role": "assistant", "content": said}

    @entrypoint
    def flow(x: int) -> list[Any]:
        return [one.result() for one in [call_model(1), call_model(2)]]

    pieces = [metadata for _, metadata in flow.stream(1, stream_mode="messages") if metadata["text"]]
    by_id = itertools.groupby(sorted(pieces, key=lambda m: m["message_id"]), key=lambda m: m["message_id"])
    assert ["".join(m["text"] for m in group) for _, group in by_id] == [SAID, SAID]


def test_a_message_that_is_not_what_was_said_in_pieces_is_shown() -> None:
    @task
    def call_model(x: int) -> list[Any]:
        stream_message({"id": "1", "delta": "hel"})
        stream_message({"id": "1", "delta": "lo"})
        return [
            {"role": "assistant", "content": "hello", "id": "1"},
            {"role": "assistant", "content": "bye", "id": "2"},
        ]

    @entrypoint
    def flow(x: int) -> list[Any]:
        return call_model(x).result()

    shown = list(flow.stream(1, stream_mode="messages"))
    assert [metadata["message_id"] for _, metadata in shown] == ["1", "1", "2"]


def test_a_message_that_is_given_its_id_later_is_shown_once() -> None:
    @task
    def call_model(x: int) -> dict[str, Any]:
        return {"role": "assistant", "content": "hello"}

    @entrypoint
    def flow(x: int) -> list[Any]:
        return add_messages([], call_model(x).result())

    assert len(list(flow.stream(1, stream_mode="messages"))) == 1


def test_what_the_sdks_return_is_recorded_as_it_is(
    openai: OpenAI, anthropic: Anthropic, provider: Provider, saver: Checkpointer
) -> None:
    provider.will("one", "two", "three")
    answers: list[Any] = []

    @task
    def chat() -> ChatCompletionMessage:
        return openai.chat.completions.create(model="m", messages=ASKED).choices[0].message

    @task
    def respond() -> Response:
        return openai.responses.create(model="m", input="Weather?")

    @task
    def say() -> Message:
        return anthropic.messages.create(model="m", max_tokens=9, messages=ASKED)

    @entrypoint(checkpointer=saver)
    def flow(x: int) -> Any:
        answers.append([chat().result(), respond().result(), say().result()])
        return interrupt("fine?")

    flow.invoke(1, thread())
    flow.invoke(Command(resume=1), thread())
    first, again = answers
    assert again == first
    assert (again[0].content, again[1].output_text, again[2].content[0].text) == ("one", "two", "three")
