"""Integrations whose package is not installed say which extra brings it."""

from __future__ import annotations

import importlib
import sys

import pytest

from clew.errors import MissingDependency


@pytest.mark.parametrize(
    ("integration", "package", "extra"),
    [("opentelemetry", "opentelemetry", "otel"), ("langgraph", "langgraph.store", "langgraph")],
)
def test_the_import_names_the_extra(
    integration: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"clew.integrations.{integration}", raising=False)
    with pytest.raises(MissingDependency, match=rf"pip install 'clew\[{extra}\]'"):
        importlib.import_module(f"clew.integrations.{integration}")
