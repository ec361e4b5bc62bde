"""Who answers in `clew chat`, chosen by name and keys; the real SDKs against a local server."""

from __future__ import annotations

import asyncio
import sys

import pytest

from clew.cli.assistant import Answers, Message
from clew.cli.models import Offline, choose_model
from clew.errors import MissingDependency, UsageError
from support.model_server import ModelServer

ASKED: list[Message] = [{"role": "user", "content": "what is my name?", "id": "1"}]


def said(model: Answers, remembered: list[str], kept: str | None = None) -> list[str]:
    """The pieces of a reply to `ASKED`."""

    async def all_pieces() -> list[str]:
        return [piece async for piece in model.reply(ASKED, remembered, kept)]

    return asyncio.run(all_pieces())


class TestProviders:
    def test_the_reply_streams_from_the_provider(self, provider: str, environment: dict[str, str]) -> None:
        model = choose_model(f"{provider}:some-model", environment)
        pieces = said(model, ["Username is Bob"])
        assert pieces == ["Hello", ", ", "Bob."]
        assert "some-model" in model.name

    def test_the_model_is_given_the_memories_and_nothing_of_ours(
        self, model_server: ModelServer, environment: dict[str, str]
    ) -> None:
        model = choose_model(None, environment)
        said(model, ["Username is Bob"], "likes tea")
        request = model_server.requests[0]
        system = request.get("system") or request["messages"][0]["content"]
        assert "- Username is Bob" in system
        assert "likes tea" in system
        assert request["messages"][-1] == {"role": "user", "content": "what is my name?"}

    def test_a_reply_without_text_is_said_to_be_one(
        self, model_server: ModelServer, environment: dict[str, str]
    ) -> None:
        model_server.pieces = []
        model = choose_model(None, environment)
        assert said(model, []) == ["(The model gave no text.)"]

    def test_a_refusal_is_among_the_declared_failures(
        self, model_server: ModelServer, environment: dict[str, str]
    ) -> None:
        model_server.status = 401
        model = choose_model(None, environment)
        with pytest.raises(model.failures, match="not known"):
            said(model, [])

    def test_a_key_without_the_sdk_says_what_to_install(
        self, provider: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, provider, None)
        with pytest.raises(MissingDependency, match=rf"pip install 'clew\[{provider}\]'"):
            choose_model(None, environment)


class TestChoice:
    def test_without_keys_nobody_answers(self) -> None:
        assert isinstance(choose_model(None, {}), Offline)

    def test_offline_can_be_asked_for(self) -> None:
        assert isinstance(choose_model("offline", {"OPENAI_API_KEY": "x"}), Offline)

    def test_an_empty_key_is_no_key(self) -> None:
        assert isinstance(choose_model(None, {"OPENAI_API_KEY": ""}), Offline)

    @pytest.mark.parametrize("wanted", ["openai:m", "m"])
    def test_a_model_without_its_key_says_which_to_set(self, wanted: str) -> None:
        with pytest.raises(UsageError, match="OPENAI_API_KEY"):
            choose_model(wanted, {})

    def test_a_model_is_not_guessed_between_two_providers(self) -> None:
        with pytest.raises(UsageError, match="anthropic:m or openai:m"):
            choose_model("m", {"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "x"})


class TestOffline:
    def test_it_shows_the_memories_and_pretends_nothing(self) -> None:
        reply = "".join(said(Offline(), ["Username is Bob"]))
        assert "offline" in reply
        assert "Username is Bob" in reply

    def test_it_says_what_it_kept(self) -> None:
        assert "".join(said(Offline(), [], "my name is Bob")) == "Kept: my name is Bob"

    def test_it_says_when_nothing_fits(self) -> None:
        assert "nothing that I remember fits" in "".join(said(Offline(), []))
