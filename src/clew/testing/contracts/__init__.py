"""What every checkpointer and every store must do, as suites for pytest: derive from them, give a fixture, run them.

The only part of clew.testing that needs pytest, and hypothesis.
"""

from __future__ import annotations

import pytest

_SUITES = (
    "checkpointer_queue", "checkpointer_runs", "checkpointers", "given", "store_batches", "store_history",
    "store_index", "store_items", "store_outbox", "stores",
)  # fmt: skip
pytest.register_assert_rewrite(*[f"{__name__}.{suite}" for suite in _SUITES])  # failures show both sides

from clew.testing.contracts.checkpointers import CheckpointerContract  # noqa: E402
from clew.testing.contracts.stores import StoreContract  # noqa: E402

__all__ = ["CheckpointerContract", "StoreContract"]
