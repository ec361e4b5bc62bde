"""What a limit may be."""

from __future__ import annotations

from typing import Any

import pytest

from clew import Limit


@pytest.mark.parametrize(
    "wrong",
    [{"concurrency": 0}, {"concurrency": 1.5}, {"rate": -1}, {"rate": 0.5}, {"per_s": 0}, {"per_s": float("nan")}],
)
def test_a_limit_is_above_nought_and_counts_whole_runs(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limit(**wrong)
