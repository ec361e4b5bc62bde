"""A workflow as it was declared. Importing this loads nothing of what runs workflows or keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from clew.engine.journal import OnMismatch
    from clew.runner.callee import Callee
    from clew.runner.waiting import OnConflict
    from clew.storage.base import Checkpointer
    from clew.storage.cache import BaseCache
    from clew.store.base import BaseStore


class Settings(Struct, frozen=True, kw_only=True):
    """A workflow as it was declared.

    Args:
        callee: the function with its policies.
        saver: where threads are kept; None: nowhere; True: a nested workflow that remembers with its caller's.
        store: long-term memory, or None.
        cache: results of tasks with a cache policy, or None.
        on_mismatch: what a replay does where journal and code disagree.
        on_conflict: what a new input does where another run has its thread.
        wait_s: how long a run waits for others on its thread.
    """

    callee: Callee
    saver: Checkpointer | bool | None = None
    store: BaseStore | None = None
    cache: BaseCache | None = None
    on_mismatch: OnMismatch = "raise"
    on_conflict: OnConflict = "queue"
    wait_s: float = 60.0

    @property
    def kept_by(self) -> Checkpointer | None:
        """The checkpointer of an outermost run."""
        return None if isinstance(self.saver, bool) else self.saver
