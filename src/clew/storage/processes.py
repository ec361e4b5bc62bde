"""Which process this is, without asking the system each time. A forked child knows that it is another one."""

from __future__ import annotations

import os

#: The number of this process. To be read as `processes.here`: it changes in a forked child.
here = os.getpid()


def _note_fork() -> None:
    global here
    here = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
