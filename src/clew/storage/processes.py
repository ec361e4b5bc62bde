"""Which process this is, without asking the system each time, and what has to rest while it forks."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from typing import Protocol

#: The number of this process. To be read as `processes.here`: it changes in a forked child.
here = os.getpid()


class Pausing(Protocol):
    """What cannot be forked while it is at work."""

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """Rest for the length of a block."""
        ...


_pausing: weakref.WeakSet[Pausing] = weakref.WeakSet()
_paused = contextlib.ExitStack()
_forking = threading.Lock()


def pause_at_forks(each: Pausing) -> None:
    """Let something rest from before a fork until after it, in parent and child, for as long as it exists."""
    _pausing.add(each)


def _pause() -> None:
    _forking.acquire()
    _paused.callback(_forking.release)
    for each in list(_pausing):
        _paused.enter_context(each.paused())


def _note_fork() -> None:
    global here
    here = os.getpid()
    _paused.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_pause, after_in_parent=_paused.close, after_in_child=_note_fork)
