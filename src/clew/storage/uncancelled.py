"""A future that whoever awaits it cannot cancel: a write that has begun goes on."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

T = TypeVar("T")


class Uncancelled(asyncio.Future[T]):
    """A future that goes on: whoever is cancelled while awaiting it learns of that at its end. Cheaper than shield."""

    def cancel(self, msg: Any | None = None) -> bool:
        return False
