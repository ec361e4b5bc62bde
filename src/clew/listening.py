"""Which foreign packages are listened to, for messages and signs of life. Those not loaded are left alone."""

from __future__ import annotations

import sys
from collections.abc import Callable

from clew.engine.events import Wanted


def listener(wanted: Wanted) -> Callable[[], None] | None:
    """Return what is to be called where a run begins, so that its chat models are heard; None if none can speak."""
    if "messages" not in wanted.modes or "langchain_core" not in sys.modules:
        return None
    from clew.integrations.langchain import listen

    return listen


def hear_life() -> None:
    """Let what is called from now on in this context refresh the limit on the running call's silence."""
    if "langchain_core" in sys.modules:
        from clew.integrations.langchain import hear_life

        hear_life()
