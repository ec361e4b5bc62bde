"""Cancels the asyncio task of an async body because its run was asked to end, and tells that from other reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.late import late

if TYPE_CHECKING:
    import asyncio
else:
    late(globals(), "asyncio")


class Canceller:
    """Cancels the current asyncio task, from any OS thread, for as long as it is armed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        self._sent = False
        self._armed = True

    def cancel(self) -> None:
        """Cancel the task soon."""
        self._loop.call_soon_threadsafe(self._send)

    def _send(self) -> None:
        if self._armed and self._task is not None:
            self._sent = True
            self._task.cancel()

    def disarm(self) -> bool:
        """Cancel no more; say whether the task was cancelled, and by nobody else, and take that back."""
        self._armed = False
        if not self._sent or self._task is None:
            return False
        self._sent = False
        return self._task.uncancel() <= self._cancelling
