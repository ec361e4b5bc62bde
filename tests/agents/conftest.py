"""What tests of agents start from: a provider on this machine, and models of both SDKs that ask it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.provider import Provider


@pytest.fixture(params=["openai", "openai-async", "anthropic", "anthropic-async"])
def model(request: pytest.FixtureRequest, provider: Provider) -> Callable[[], Any]:
    """Makes a model of each provider's own client, of each colour, sent to the provider here."""
    import anthropic
    import openai

    from clew.agents import anthropic_model, openai_model

    to_openai: dict[str, Any] = {"api_key": "none", "base_url": f"{provider.address}/v1", "max_retries": 0}
    to_anthropic: dict[str, Any] = {"api_key": "none", "base_url": provider.address, "max_retries": 0}
    return {
        "openai": lambda: openai_model(openai.OpenAI(**to_openai), "m"),
        "openai-async": lambda: openai_model(openai.AsyncOpenAI(**to_openai), "m"),
        "anthropic": lambda: anthropic_model(anthropic.Anthropic(**to_anthropic), "m"),
        "anthropic-async": lambda: anthropic_model(anthropic.AsyncAnthropic(**to_anthropic), "m"),
    }[request.param]
