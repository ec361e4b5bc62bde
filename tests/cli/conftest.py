"""A model server, and an environment without anybody's keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.model_server import ENVIRONMENTS, ModelServer, serving


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, base_url, _ in ENVIRONMENTS.values():
        monkeypatch.delenv(key, raising=False)
        monkeypatch.delenv(base_url, raising=False)


@pytest.fixture(params=["anthropic", "openai"])
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def environment(provider: str, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables that send the provider's SDK to the local server, set."""
    variables = model_server.environment(provider)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables
