"""The contract of a cache: bytes under a namespace and a key, until they expire. Knows nothing of what is kept.

A cache may forget anything at any time; what it does return was put there under that very namespace and key, and has
not expired. Times are wall-clock seconds, asked of `time.time` at each call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import cast

from clew.errors import InvalidNamespaceError

Namespace = tuple[str, ...]


class BaseCache(ABC):
    """Keeps results for later calls. Any number of OS threads and loops may use one at once.

    A namespace is a tuple of text. Another raises InvalidNamespaceError, whatever the method.
    """

    @abstractmethod
    def get(self, namespace: Namespace, key: str) -> bytes | None:
        """Return what was kept, or None if there is nothing or it has expired.

        Args:
            namespace: a tuple of text.
            key: any text.
        """

    @abstractmethod
    def set(self, namespace: Namespace, key: str, data: bytes, ttl_s: float | None) -> None:
        """Keep something in place of what was there.

        Args:
            namespace: a tuple of text.
            key: any text.
            data: what to keep.
            ttl_s: for how many seconds; None: for ever.
        """

    @abstractmethod
    def clear(self, namespace: Namespace = ()) -> None:
        """Forget what is kept in a namespace and in all that begin with its labels.

        Args:
            namespace: a tuple of text; () forgets everything.
        """

    @abstractmethod
    async def aget(self, namespace: Namespace, key: str) -> bytes | None:
        """Like `get`, without blocking the loop."""

    @abstractmethod
    async def aset(self, namespace: Namespace, key: str, data: bytes, ttl_s: float | None) -> None:
        """Like `set`, without blocking the loop."""

    @abstractmethod
    async def aclear(self, namespace: Namespace = ()) -> None:
        """Like `clear`, without blocking the loop."""


def check_namespace(namespace: object) -> None:
    """Refuse what is no namespace: a plain text would be taken for its letters.

    Raises:
        InvalidNamespaceError: not a tuple of text.
    """
    labels = cast("tuple[object, ...]", namespace) if isinstance(namespace, tuple) else (namespace, None)
    if not all(isinstance(label, str) for label in labels):
        raise InvalidNamespaceError(f"the namespace of a cache is a tuple of text, not {namespace!r:.200}")
