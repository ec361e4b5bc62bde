"""The OS threads of this process: one pool for tasks, one for whole workflows, one event loop in the background."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

MOST_THREADS = 128  # they wait for models and tools, so far more than there are cores


_lock = threading.Lock()
_made: dict[tuple[str, int], Any] = {}


def tasks() -> ThreadPoolExecutor:
    """Return the pool that runs blocking tasks."""
    return _once("task", _pool)


def workflows() -> ThreadPoolExecutor:
    """Return the pool that runs whole blocking workflows for async callers and streams."""
    return _once("workflow", _pool)


def is_program_ending() -> bool:
    """Say whether the program ends: the pools take no new work then, and the program waits until theirs is done."""
    try:
        workflows().submit(bool)
    except RuntimeError:
        return True
    return False


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that runs async code for blocking callers."""
    return _once("loop", _loop)


def _once(kind: str, make: Callable[[str], T]) -> T:
    """Make a thing once a process: OS threads do not live on in a forked child."""
    key = (kind, os.getpid())
    if key not in _made:
        with _lock:
            if key not in _made:
                _made[key] = make(kind)
    made: T = _made[key]
    return made


def _pool(kind: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix=f"clew-{kind}")


def _loop(kind: str) -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name=f"clew-{kind}", daemon=True).start()
    return loop
