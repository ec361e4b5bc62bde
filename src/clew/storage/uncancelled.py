"""A future that whoever awaits it cannot cancel: a write that has begun goes on."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

T = TypeVar("T")


class Uncancelled(asyncio.Future[T]):
    """A future that goes on: whoever is cancelled while awaiting it learns of that at its end. Cheaper than shield."""

    def cancel(self, msg: Any | None = None) -> bool:
        return False


async def lasting(waiter: Uncancelled[T]) -> T:
    """Return what the future gives. A caller that is cancelled meanwhile learns of it at its next await."""
    was_cancelled = False
    while not waiter.done():
        try:
            await waiter
        except asyncio.CancelledError:
            was_cancelled = True
    if was_cancelled:
        cancel_at_next_await()
    return waiter.result()


def cancel_at_next_await() -> None:
    """Let the task that runs learn at its next await that it was cancelled."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()  # so that the cancellation still counts once, as asyncio.timeout relies on
        task.cancel()
