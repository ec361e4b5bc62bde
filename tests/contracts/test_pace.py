"""An event loop is spared after work that took long, and others on it get their turn."""

from __future__ import annotations

import pytest

from clew.storage.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def go_on(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("clew.storage.pace.time.perf_counter", clock)
    return clock


def work(pace: Pace, clock: Clock, seconds: float) -> bool:
    pace.measured(clock.go_on, seconds)
    return pace.is_others_turn()


def test_quick_work_is_followed_by_more(clock: Clock) -> None:
    pace = Pace()
    for _ in range(1000):
        work(pace, clock, 0.0002)
        assert pace.is_quick()


def test_work_that_took_long_is_followed_by_a_pause_but_for_some_milliseconds_now_and_then(
    clock: Clock,
) -> None:
    pace = Pace()
    work(pace, clock, 0.01)
    assert not pace.is_quick()
    clock.now_s += 0.09
    assert not pace.is_quick()
    clock.now_s += 0.02
    assert pace.is_quick()
    work(pace, clock, 0.01)
    clock.now_s += 0.17
    assert not pace.is_quick()
    clock.now_s += 0.02
    assert pace.is_quick()


def test_work_that_took_long_once_does_not_send_the_next_away(clock: Clock) -> None:
    pace = Pace()
    for _ in range(4):
        work(pace, clock, 0.001)
        assert pace.is_quick()
        clock.now_s += 0.005
    for _ in range(3):
        work(pace, clock, 0.001)
    assert not pace.is_quick()


def test_slow_work_takes_a_twentieth_of_the_time_at_most(clock: Clock) -> None:
    pace, slow_s = Pace(), 0.0
    began_s = clock.now_s
    while clock.now_s < began_s + 60:
        if pace.is_quick():
            work(pace, clock, 0.001)
            slow_s += 0.001
        else:
            clock.now_s += 0.0005
    assert slow_s == pytest.approx(60 / 20, rel=0.05)


def test_work_that_raised_took_as_long(clock: Clock) -> None:
    pace = Pace()

    def work_that_raises() -> None:
        clock.go_on(0.01)
        raise KeyError

    with pytest.raises(KeyError):
        pace.measured(work_that_raises)
    assert not pace.is_quick()
    assert pace.is_others_turn()


def test_a_turn_that_is_due_stays_due(clock: Clock) -> None:
    pace = Pace()
    pace.measured(clock.go_on, 0.0004)
    pace.measured(clock.go_on, 0.00001)
    assert pace.is_others_turn()
    assert not pace.is_others_turn()


def test_others_get_their_turn_after_some_work_in_a_row(clock: Clock) -> None:
    pace = Pace()
    turns = [work(pace, clock, 0.000061) for _ in range(10)]
    assert turns == [False, False, False, False, True] * 2
    assert work(pace, clock, 0.0004)
