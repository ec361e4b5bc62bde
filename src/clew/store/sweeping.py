"""Housekeeping at intervals, and the results that may be used at once or awaited. Nothing depends on the sweep."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator

log = logging.getLogger("clew.store")


class Done:
    """Something that has been done already; awaiting it does nothing, for those who write `await store.setup()`."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


class DoneCount(int):
    """A number that may also be awaited, for those who write `await store.sweep_ttl()`."""

    def __await__(self) -> Generator[None, None, int]:
        return int(self)
        yield


class Sweeper:
    """Calls `sweep` every so often on a daemon thread, from `start` to `stop`.

    Args:
        every_s: pause between two sweeps, in seconds.
        at_once: whether the first one is not waited for.
    """

    def __init__(self, sweep: Callable[[], object], every_s: float, *, at_once: bool = False) -> None:
        self._sweep = sweep
        self._every_s = every_s
        self._at_once = at_once
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, every_s: float | None = None) -> None:
        """Begin to sweep; starting twice is fine."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._stop = threading.Event()
        arguments = (self._stop, every_s or self._every_s)
        self._thread = threading.Thread(target=self._run, args=arguments, name="clew-sweeper", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float | None = None) -> None:
        """End the sweeps and wait for the one under way."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    def _run(self, stop: threading.Event, every_s: float) -> None:
        while not stop.wait(0 if self._at_once else every_s):
            self._at_once = False
            try:
                self._sweep()
            except Exception:
                log.exception("a sweep of expired memories failed; the next one is in %s s", every_s)
