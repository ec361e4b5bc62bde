"""A cache that lives in this process: one dictionary under one lock. Everything ends with the process."""

from __future__ import annotations

import threading
import time

from clew.storage.cache import BaseCache, Namespace, check_namespace

_SWEEP_AT_LEAST_EVERY = 256  # writes


class InMemoryCache(BaseCache):
    """Keeps results in memory. What has expired is forgotten now and then, so that it does not pile up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[Namespace, str], tuple[bytes, float | None]] = {}  # data, when it expires
        self._writes_until_sweep = _SWEEP_AT_LEAST_EVERY

    def get(self, namespace: Namespace, key: str) -> bytes | None:
        check_namespace(namespace)
        with self._lock:
            data, expires_s = self._entries.get((namespace, key), (None, None))
            if expires_s is not None and expires_s <= time.time():
                del self._entries[namespace, key]
                return None
            return data

    def set(self, namespace: Namespace, key: str, data: bytes, ttl_s: float | None) -> None:
        check_namespace(namespace)
        now_s = time.time()
        with self._lock:
            self._entries[namespace, key] = (data, None if ttl_s is None else now_s + ttl_s)
            self._writes_until_sweep -= 1
            if self._writes_until_sweep <= 0:
                self._sweep(now_s)

    def clear(self, namespace: Namespace = ()) -> None:
        check_namespace(namespace)
        with self._lock:
            self._entries = {at: kept for at, kept in self._entries.items() if at[0][: len(namespace)] != namespace}

    async def aget(self, namespace: Namespace, key: str) -> bytes | None:
        return self.get(namespace, key)

    async def aset(self, namespace: Namespace, key: str, data: bytes, ttl_s: float | None) -> None:
        self.set(namespace, key, data, ttl_s)

    async def aclear(self, namespace: Namespace = ()) -> None:
        self.clear(namespace)

    def _sweep(self, now_s: float) -> None:
        self._entries = {at: kept for at, kept in self._entries.items() if kept[1] is None or kept[1] > now_s}
        # As many writes as there are entries: each write then pays for one entry looked at.
        self._writes_until_sweep = max(_SWEEP_AT_LEAST_EVERY, len(self._entries))
