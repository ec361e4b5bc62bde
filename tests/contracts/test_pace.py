"""An event loop is spared after work that took long."""

from __future__ import annotations

import pytest

from clew.storage.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("clew.storage.pace.time.perf_counter", clock)
    return clock


def test_quick_work_is_followed_by_more(clock: Clock) -> None:
    pace = Pace()
    for _ in range(3):
        with pace.measured():
            clock.now_s += 0.0002
        assert pace.is_quick()


def test_slow_work_is_followed_by_a_pause_twenty_times_as_long_whatever_it_raised(clock: Clock) -> None:
    pace = Pace()

    def work() -> None:
        with pace.measured():
            clock.now_s += 0.01
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert not pace.is_quick()
    clock.now_s += 0.19
    assert not pace.is_quick()
    clock.now_s += 0.02
    assert pace.is_quick()
