"""A clock that tests move: all that clew measures goes by it, and nobody waits."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import clew
from clew import BaseStore, Checkpointer, InMemoryCache, RetryPolicy, interrupt, recover
from clew.errors import InvalidOption
from clew.testing import FakeClock, fake_clock
from support.colours import PATIENCE_S, Colour, result, thread
from support.working import leave_half_way, working

START = datetime(2030, 1, 1, tzinfo=UTC)
A_YEAR_S = 365 * 24 * 3600.0


def test_time_stands_still_until_it_is_moved() -> None:
    with fake_clock(START) as clock:
        assert time.time() == time.time_ns() / 1e9 == START.timestamp()
        clock.advance(90)
        assert clock.now == START + timedelta(seconds=90)
        assert time.time() == clock.now.timestamp()


def test_it_begins_with_the_real_time_and_leaves_it_as_it_was() -> None:
    before, real = time.time(), (time.time, time.time_ns, time.sleep, asyncio.sleep)
    with fake_clock() as clock:
        assert clock.now.timestamp() == pytest.approx(before, abs=60)
    assert (time.time, time.time_ns, time.sleep, asyncio.sleep) == real


def test_a_clock_does_not_go_back_and_knows_its_time_zone() -> None:
    with fake_clock() as clock, pytest.raises(InvalidOption, match="forward"):
        clock.advance(-1)
    with pytest.raises(InvalidOption, match="time zone"), fake_clock(datetime(2030, 1, 1)):
        pass


def test_sleeping_moves_the_clock() -> None:
    with fake_clock(START) as clock:
        time.sleep(A_YEAR_S)
        assert asyncio.run(asyncio.sleep(A_YEAR_S, "awake")) == "awake"
        assert clock.now == START + timedelta(seconds=2 * A_YEAR_S)


def test_side_by_side_on_a_loop_they_wake_in_the_order_of_their_times() -> None:
    woke: list[tuple[float, float]] = []

    async def sleeper(clock: FakeClock, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woke.append((seconds, (clock.now - START).total_seconds()))

    async def all_of_them(clock: FakeClock) -> None:
        await asyncio.gather(*[sleeper(clock, seconds) for seconds in (30, 10, 20)])

    with fake_clock(START) as clock:
        asyncio.run(all_of_them(clock))
    assert woke == [(10, 10), (20, 20), (30, 30)]


def test_side_by_side_on_threads_the_clock_stops_where_the_last_one_wakes() -> None:
    begin = threading.Barrier(4)

    def sleeper(seconds: float) -> None:
        begin.wait()
        time.sleep(seconds)

    with fake_clock(START) as clock, ThreadPoolExecutor(4) as pool:
        list(pool.map(sleeper, [30, 10, 20, 40]))
        assert START + timedelta(seconds=40) <= clock.now <= START + timedelta(seconds=100)


def test_a_cancelled_sleep_does_not_move_the_clock() -> None:
    async def cancelled() -> None:
        sleeping = [asyncio.ensure_future(asyncio.sleep(seconds)) for seconds in (1, 1000)]
        await sleeping[0]
        sleeping[1].cancel()
        await asyncio.wait(sleeping)

    with fake_clock(START) as clock:
        asyncio.run(cancelled())
        assert clock.now < START + timedelta(seconds=1000)
        time.sleep(1)


def test_a_pause_of_a_workflow_takes_no_time(colour: Colour) -> None:
    @colour.entrypoint
    async def flow(x: int) -> int:
        await clew.asleep(3600) if colour.workflow_is_async else clew.sleep(3600)
        return x

    with fake_clock(START) as clock:
        assert colour.invoke(flow, 1) == 1
        assert clock.now >= START + timedelta(hours=1)


def test_pauses_between_attempts_take_no_time(colour: Colour) -> None:
    began: list[float] = []

    @colour.task(retry_policy=RetryPolicy(initial_interval=600, max_interval=A_YEAR_S, jitter=False, max_attempts=3))
    async def flaky(x: int) -> int:
        began.append(time.time() - START.timestamp())
        if len(began) < 3:
            raise ConnectionError("not yet")
        return x

    @colour.entrypoint
    async def flow(x: int) -> Any:
        return await result(flaky(x))

    with fake_clock(START):
        assert colour.invoke(flow, 1) == 1
    assert began == [0, 600, 1800]


def test_a_question_ends_with_its_time(colour: Colour, saver: Checkpointer) -> None:
    @colour.entrypoint(checkpointer=saver)
    async def flow(x: int) -> Any:
        return interrupt("go on?", timeout_s=3600, default="nobody said")

    with fake_clock() as clock:
        assert "__interrupt__" in colour.invoke(flow, 1, thread())
        clock.advance(3600)
        assert colour.invoke(flow, None, thread()) == "nobody said"


def test_a_lease_runs_out(saver: Checkpointer) -> None:
    @clew.entrypoint(checkpointer=saver)
    def flow(x: int) -> int:
        return x

    with fake_clock() as clock:
        leave_half_way(saver, "flow", "1", 7, lease_s=30)
        assert recover(saver, [flow]) == []
        clock.advance(31)
        assert [found.thread_id for found in recover(saver, [flow])] == ["1"]


def test_a_worker_with_nothing_to_do_does_not_move_the_clock(saver: Checkpointer) -> None:
    @clew.entrypoint(checkpointer=saver)
    def flow(x: int) -> int:
        return x

    with fake_clock() as clock, working(saver, flow):
        assert flow.submit(1, thread()).result(PATIENCE_S) == 1
        before = clock.now
        threading.Event().wait(0.3)  # a wait that is real
        assert clock.now - before < timedelta(seconds=60)


def test_memories_and_cached_results_expire(store: BaseStore) -> None:
    cache = InMemoryCache()
    with fake_clock() as clock:
        cache.set(("c",), "k", b"x", 100)
        store.put(("m",), "k", {"n": 1}, ttl=2)
        item = store.get(("m",), "k", refresh_ttl=False)
        assert item is not None
        assert item.created_at == clock.now
        clock.advance(119)
        assert store.get(("m",), "k", refresh_ttl=False) is not None
        assert cache.get(("c",), "k") is None
        clock.advance(1)
        assert store.get(("m",), "k") is None
