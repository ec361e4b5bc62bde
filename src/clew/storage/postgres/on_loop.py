"""Has a conversation with the server on the caller's event loop: no other OS thread is woken for it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TypeVar

from clew.storage.postgres.exchanging import Talk
from clew.storage.uncancelled import Uncancelled, lasting

T = TypeVar("T")

#: Loops of Windows tell only of what they read themselves.
CAN_WATCH = sys.platform != "win32"


async def talked(descriptor: int, talk: Talk[T]) -> T:
    """Return what a conversation gives. A caller that is cancelled meanwhile learns of it at its next await.

    Args:
        descriptor: of the connection.
        talk: see Talk; what it raises is raised.
    """
    try:
        while True:
            await _ready(descriptor, writes=next(talk))
    except StopIteration as end:
        value: T = end.value
        return value


async def _ready(descriptor: int, *, writes: bool) -> None:
    """Wait until there is something to read, or room to write."""
    loop = asyncio.get_running_loop()
    waiter: Uncancelled[None] = Uncancelled(loop=loop)
    loop.add_reader(descriptor, _set, waiter)
    if writes:
        loop.add_writer(descriptor, _set, waiter)
    try:
        await lasting(waiter)
    finally:
        with contextlib.suppress(RuntimeError):  # the loop was closed before
            loop.remove_reader(descriptor)
            loop.remove_writer(descriptor)


def _set(waiter: Uncancelled[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
