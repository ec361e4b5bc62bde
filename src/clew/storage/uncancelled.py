"""A future that whoever awaits it cannot cancel: a write that has begun goes on.

What it gave must be known to whoever began it, such as a lease; so a cancellation that came meanwhile comes after it,
at the next await. But it must not come after the call for which it was meant, where `asyncio.timeout` no longer looks
for it: what gives something to people's code awaits `told` before.
"""

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


async def told() -> None:
    """Let the task that runs learn now that it was cancelled, if it was."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        await asyncio.sleep(0)
