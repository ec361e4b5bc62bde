"""Keeps the events of a run for readers elsewhere: in small batches, off the run's path.

What cannot be kept is shown as its text, and the log says so: a run does not fail because of who watches it.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from clew.codec.values import decode, encode
from clew.engine.events import Event
from clew.errors import Conflict, NotRecordable, StorageError
from clew.runner import pools
from clew.runner.dispatching import dispatcher_of
from clew.runner.io import RunnerIO
from clew.runner.logs import fields
from clew.storage.base import AddEvents, Checkpointer, Lease

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger("clew.streams")

_FLUSH_EVERY_S = 0.05
_MOST_PER_FLUSH = 64
#: Stands, instead of an event, at the end of what one execution of a run shows.
END = b""


class Publisher:
    """Takes the events of a run, as a channel does, and keeps them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._hurry = threading.Event()
        self._flushing: Future[None] | None = None
        self._to: tuple[Checkpointer, Lease] | None = None

    def open(self, saver: Checkpointer, lease: Lease) -> None:
        """Say where events are kept, once the run has its lease."""
        self._to = (saver, lease)

    def put(self, event: Event) -> None:
        """Take an event; it is kept soon."""
        body = _encoded(event)
        with self._lock:
            self._waiting.append(body)
            if len(self._waiting) >= _MOST_PER_FLUSH:
                self._hurry.set()
            if self._flushing is None:
                self._flushing = pools.tasks().submit(self._flush_soon)

    def room(self) -> asyncio.Future[None] | None:
        """Return None: a run does not wait for readers elsewhere."""
        return None

    async def flush(self, io: RunnerIO) -> None:
        """Return once all that was put is kept."""
        self._hurry.set()
        await io.wait(self._flushing)

    async def close(self, io: RunnerIO) -> None:
        """Keep what waits, and let readers know that nothing more comes."""
        await self.flush(io)
        if self._to is not None:
            await io.wait(pools.tasks().submit(self._keep, [END]))

    def _flush_soon(self) -> None:
        while True:
            self._hurry.wait(_FLUSH_EVERY_S)
            with self._lock:
                self._hurry.clear()
                events, self._waiting = self._waiting, []
            self._keep(events)
            with self._lock:
                if not self._waiting:
                    self._flushing = None
                    return

    def _keep(self, events: list[bytes]) -> None:
        assert self._to is not None
        saver, lease = self._to
        try:
            saver.execute(AddEvents(lease, events))
        except Conflict:
            return  # another writer has taken up the run, and shows what happens from now on
        except StorageError as error:
            text, extra = "%d events of run %s could not be kept: %s", fields(lease.thread, lease.run_id)
            log.warning(text, len(events), lease.run_id, error, extra=extra)
        dispatcher_of(saver).announce(lease.thread)


def _encoded(event: Event) -> bytes:
    try:
        return encode(event)
    except NotRecordable as error:
        mode, namespace, data = event
        log.warning("an event of mode %r is shown to readers elsewhere as text: %s", mode, error)
        return encode((mode, namespace, repr(data)))


def decoded(body: bytes) -> Event:
    """Read an event back."""
    mode, namespace, data = decode(body)
    event: tuple[str, tuple[str, ...], Any] = (mode, tuple(namespace), data)
    return event
