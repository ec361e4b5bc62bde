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


def at_once_until(most: int, done: list[list[int]]) -> Any:
    """Give what serves batches on the loop until so many pieces of work were done there."""

    def at_once(batch: list[Waiting[Any, Any]]) -> bool:
        if sum(map(len, done)) >= most:
            return False
        done.append([unit.work for unit in batch])
        carry_out(batch)
        return True

    return at_once


def test_few_callers_on_a_loop_are_served_together_there_and_many_by_the_os_thread() -> None:
    there: list[list[int]] = []
    elsewhere: list[int] = []

    def carry_out_elsewhere(batch: list[Waiting[Any, Any]]) -> None:
        elsewhere.extend(unit.work for unit in batch)
        carry_out(batch)

    async def main(group: GroupCommit[int]) -> None:
        assert await group.arun(0) == 0
        assert await asyncio.gather(*map(group.arun, (1, 2, 3))) == [1, 2, 3]
        assert await asyncio.gather(*map(group.arun, range(10, 30))) == list(range(10, 30))

    with closing(
        GroupCommit[int](carry_out_elsewhere, most=10, name="test", at_once=at_once_until(99, there))
    ) as group:
        asyncio.run(main(group))
    assert there == [[0], [1, 2, 3]]
    assert sorted(elsewhere) == list(range(10, 30))


def test_what_cannot_be_done_at_once_is_done_by_the_os_thread() -> None:
    there: list[list[int]] = []

    async def main(group: GroupCommit[int]) -> list[int]:
        return [await group.arun(number) for number in range(4)]

    with closing(GroupCommit[int](carry_out, most=10, name="test", at_once=at_once_until(2, there))) as group:
        assert asyncio.run(main(group)) == [0, 1, 2, 3]
    assert there == [[0], [1]]


def test_a_loop_that_stops_before_it_comes_to_what_waits_holds_up_nobody() -> None:
    with closing(GroupCommit[int](carry_out, most=10, name="test", at_once=at_once_until(99, []))) as group:
        stopped = asyncio.new_event_loop()
        left = stopped.create_task(group.arun(1))
        stopped.call_soon(stopped.stop)
        stopped.run_forever()
        assert not left.done()
        assert asyncio.run(group.arun(2)) == 2
        assert stopped.run_until_complete(left) == 1
        stopped.close()


def test_what_waits_for_a_loop_is_committed_when_the_group_is_closed() -> None:
    group = GroupCommit[int](carry_out, most=10, name="test", at_once=at_once_until(99, []))

    async def main() -> int:
        write = asyncio.ensure_future(group.arun(7))
        await asyncio.sleep(0)
        group.close()
        return await write

    assert asyncio.run(main()) == 7
