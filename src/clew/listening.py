"""Which foreign packages a stream listens to for messages. Those that the program did not load are left alone."""

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
