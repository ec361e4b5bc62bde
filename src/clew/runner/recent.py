"""The lists that the last turns of this process left, so that the next turn of a thread need not read them again.

What a piece names never changes, and which piece a list ends with is read from the database on every turn. So nothing
here can be out of date; it can only be missing.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from weakref import WeakKeyDictionary

from clew.codec.growing import Chain
from clew.storage.base import Checkpointer

_MOST_BYTES = 16 << 20  # of one checkpointer: some twenty conversations of a thousand turns
_BYTES_PER_PIECE = 200  # of the objects that describe it


class RecentChains:
    """Chains by the id of their last piece, the most recent ones up to a number of bytes."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._chains: OrderedDict[str, Chain] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def find(self, last: str) -> Chain | None:
        """Return the chain that ends with a piece, if it is here."""
        return self._chains.get(last)

    def note(self, chain: Chain) -> None:
        """Put a chain in place of the one that it grew from."""
        with self._lock:
            for link in chain.links[-2:]:
                self._drop(link.id)
            self._chains[chain.links[-1].id] = chain
            self._bytes += _bytes_of(chain)
            while self._bytes > self._most_bytes:
                self._drop(next(iter(self._chains)))

    def _drop(self, last: str) -> None:
        chain = self._chains.pop(last, None)
        if chain is not None:
            self._bytes -= _bytes_of(chain)


def recent_chains(saver: Checkpointer) -> RecentChains:
    """Return the chains of a checkpointer; they go with it."""
    found = _recent.get(saver)
    return _recent.setdefault(saver, RecentChains()) if found is None else found


def _bytes_of(chain: Chain) -> int:
    return len(chain.data) + _BYTES_PER_PIECE * len(chain.links)


_recent: WeakKeyDictionary[Checkpointer, RecentChains] = WeakKeyDictionary()
