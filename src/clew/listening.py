"""Which foreign packages are listened to, for messages and signs of life. Those not loaded are left alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from clew.engine.events import Wanted

Listening: TypeAlias = AbstractContextManager[None]


def listener(config: Mapping[str, Any], wanted: Wanted | None = None) -> Callable[[], Listening] | None:
    """Return what is to be entered for the length of a run, or None if no LangChain is there to speak or to be told.

    Args:
        config: of the run, of which LangChain's models and tools are told what concerns them.
        wanted: the events that somebody wants, or None.
    """
    if "langchain_core.runnables.config" not in sys.modules:
        return None
    from clew.integrations.langchain import listening

    return partial(listening, config, tokens=wanted is not None and "messages" in wanted.modes)


def hear_life() -> None:
    """Let what is called from now on in this context refresh the limit on the running call's silence."""
    if "langchain_core" in sys.modules:
        from clew.integrations.langchain import hear_life

        hear_life()
