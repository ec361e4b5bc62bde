"""Group commit: nobody waits for ever, whoever of the blocking and async callers is quicker."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from typing import Any

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
