"""Group commit: nobody waits for ever, whoever of the blocking and async callers is quicker."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from clew.storage.group_commit import GroupCommit, Waiting
from support.colours import PATIENCE_S


def carry_out(batch: list[Waiting[Any, Any]]) -> None:
    for unit in batch:
        unit.value = unit.work


def test_async_callers_are_served_after_a_blocking_one_did_the_work_of_one() -> None:
    async def main(group: GroupCommit[int]) -> list[Any]:
        busy = threading.Event()
        group._thread.submit(busy.wait)
        first = asyncio.ensure_future(group.arun(1))
        await asyncio.sleep(0)
        assert group.run(2) == 2  # and commits what waits, before the OS thread for async callers comes to it
        busy.set()
        async with asyncio.timeout(PATIENCE_S):
            done = [await first]
            await asyncio.to_thread(group._thread.submit(bool).result)
            return [*done, await group.arun(3)]

    with closing(GroupCommit(carry_out, most=10, name="test")) as group:
        assert asyncio.run(main(group)) == [1, 3]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt, whatever a loop of an earlier test has left to hear of it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_caller_that_is_interrupted_leaves_nobody_waiting() -> None:
    working, go_on = threading.Event(), threading.Event()
    done: list[int] = []
    caller = threading.get_ident()

    def carry_out_slowly(batch: list[Waiting[Any, Any]]) -> None:
        working.set()
        assert go_on.wait(PATIENCE_S)
        carry_out(batch)

    with closing(GroupCommit[int](carry_out_slowly, most=10, name="test")) as group:

        def interrupt() -> None:
            while not group._waiting:
                pass
            behind.start()
            while len(group._waiting) < 2:
                pass
            signal.pthread_kill(caller, signal.SIGINT)

        first, behind = (threading.Thread(target=lambda n=n: done.append(group.run(n)), daemon=True) for n in (1, 2))
        first.start()
        assert working.wait(PATIENCE_S)
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            group.run(3)
        go_on.set()
        first.join(PATIENCE_S)
        behind.join(PATIENCE_S)
    assert sorted(done) == [1, 2]


def test_an_async_caller_that_comes_alone_is_served_on_its_loop_and_others_by_the_os_thread() -> None:
    on_loop: list[int] = []

    async def carry_out_here(work: int) -> int:
        on_loop.append(work)
        await asyncio.sleep(0)
        return work

    async def main(group: GroupCommit[int]) -> list[Any]:
        alone = [await group.arun(1), await group.arun(2)]
        return alone + await asyncio.gather(*[group.arun(number) for number in (3, 4, 5)])

    with closing(GroupCommit(carry_out, most=10, name="test", on_loop=carry_out_here)) as group:
        assert asyncio.run(main(group)) == [1, 2, 3, 4, 5]
    assert on_loop == [1, 2, 3]


def test_one_that_fails_on_its_loop_leaves_the_way_free() -> None:
    async def fail(work: int) -> int:
        raise KeyError(work)

    async def main(group: GroupCommit[int]) -> None:
        for number in range(2):
            with pytest.raises(KeyError):
                await group.arun(number)

    with closing(GroupCommit(carry_out, most=10, name="test", on_loop=fail)) as group:
        asyncio.run(main(group))
