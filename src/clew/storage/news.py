"""The contract of a database that calls: what it tells the processes that use it.

News may come late, twice, or never; what has happened, and what there is to do, the database alone says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from clew.engine.records import ThreadKey


class News(Protocol):
    """News of one database, from any process. All methods return what ends them; closing the database does, too."""

    def follow(self, thread: ThreadKey, tell: Callable[[], object]) -> Callable[[], None]:
        """Call `tell`, on some OS thread, whenever somebody may want to look at a thread: events, ends, withdrawals."""
        ...

    def heed(self, thread: ThreadKey, tell: Callable[[], object]) -> Callable[[], None]:
        """Call `tell`, on some OS thread, when the run that holds a thread is asked to do something."""
        ...

    def attend(self, workflows: Sequence[str], woken: Callable[[], object]) -> Callable[[], None]:
        """Call `woken`, on some OS thread, for each wake-up that was sent because of work for one of the workflows.

        Each goes to one of those who attend. Who has not returned yet gets no other one.
        """
        ...
