"""How many runs a worker may carry out at once, and begin in a while."""

from __future__ import annotations

from typing import Any

import pytest

from clew import Limit
from clew.engine.pacing import Pace


def test_without_a_limit_anything_may_begin() -> None:
    pace = Pace(Limit())
    pace.begin(0.0)
    assert pace.may_begin(0.0, under_way=1_000)


def test_no_more_run_side_by_side_than_allowed() -> None:
    pace = Pace(Limit(concurrency=2))
    assert pace.may_begin(0.0, under_way=1)
    assert not pace.may_begin(0.0, under_way=2)


def test_no_more_begin_in_a_period_than_allowed() -> None:
    pace = Pace(Limit(rate=2, per_s=10))
    for now_s in (0.0, 4.0):
        assert pace.may_begin(now_s, under_way=0)
        pace.begin(now_s)
    assert not pace.may_begin(9.9, under_way=0)
    assert pace.may_begin(10.0, under_way=0)
    pace.begin(10.0)
    assert not pace.may_begin(13.9, under_way=0)


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"rate": -1}, {"per_s": 0}])
def test_a_limit_is_above_nought(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limit(**wrong)
