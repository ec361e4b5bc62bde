"""Whether a store would index the texts of its memories that are indexed, on every engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from clew import BaseStore
from clew.store.outbox import is_indexed_alike
from clew.store.settings import check_settings
from clew.store.transactional import TransactionalStore

NAMESPACE = ("memories",)


def is_alike(store: BaseStore, index: Mapping[str, Any] | None) -> bool:
    assert isinstance(store, TransactionalStore)
    settings = check_settings(index, None, "hybrid")
    found = store.with_keeper("read", lambda keeper, state: keeper.indexed(state, -1, 10))
    assert found
    return all(is_indexed_alike(item, settings) for item in found)


def test_what_was_put_is_indexed_alike(store: BaseStore) -> None:
    store.put(NAMESPACE, "whole", {"text": "green tea", "note": "in the garden, at five"})
    store.put(NAMESPACE, "part", {"text": "green tea", "note": "zebra"}, index=["note"])
    store.put(NAMESPACE, "none", {"text": "zebra"}, index=False)
    assert is_alike(store, None)
    assert is_alike(store, {"stem": None})


@pytest.mark.parametrize("fields", [["text"], ["note"], ["text", "text", "note"], ["none"]], ids=str)
def test_other_paths_would_index_other_texts(store: BaseStore, fields: list[str]) -> None:
    store.put(NAMESPACE, "whole", {"text": "green tea", "note": "in the garden, at five"})
    assert not is_alike(store, {"fields": fields})
