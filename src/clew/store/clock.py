"""What time it is, for everything in memory that carries one. The only place in the store that asks the system."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the time, aware UTC."""
    return datetime.fromtimestamp(time.time(), UTC)  # `time.time` through its module, so that tests can move it
