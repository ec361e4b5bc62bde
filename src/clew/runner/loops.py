"""What code that may run without asyncio asks about event loops. A program that runs nothing async never loads it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from clew.late import late

if TYPE_CHECKING:
    import asyncio
else:
    late(globals(), "asyncio")


def running() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs on this OS thread, or None."""
    return asyncio._get_running_loop() if "asyncio" in sys.modules else None


def cancellations() -> tuple[type[BaseException], ...]:
    """Return what asyncio raises in what it cancels, for an `except`."""
    return (asyncio.CancelledError,) if "asyncio" in sys.modules else ()
