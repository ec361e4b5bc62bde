"""What a store on transactions has and does for its index: settings, the outbox of vectors, indexing anew.

See transactional for the operations themselves. An engine gives a `Keeper` (what can be done inside a transaction) and
the two verbs that open one; the embedder is called before a transaction, never inside it.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any, Generic, TypeVar

from clew.store.base import BaseStore
from clew.store.clock import utc_now
from clew.store.embedding import Embedded
from clew.store.keeper import How, Keeper
from clew.store.operations import Mode
from clew.store.outbox import (
    Indexed,
    IndexStatus,
    Waiting,
    Worked,
    finish_reindexing,
    finish_waiting,
    stale_texts,
    waiting_texts,
)
from clew.store.sealing import Keys, SealedKeeper
from clew.store.settings import CACHE_BYTES, LoadEmbedder, check_settings

log = logging.getLogger("clew.store")

S = TypeVar("S")
T = TypeVar("T")
Progress = Callable[[int, int], object]
_AT_ONCE = 256
_FEW = 3  # texts: that many may all be such as the embedder refuses
_LOOK_EVERY_S = 60.0
PASSING_ROUNDS = 2  # the second one usually sees that nothing is left


class Lookout:
    """Whether to look into the outbox: after something of this process was left there, and else now and then.

    Others leave something there as well: processes that died while their embedder was asked, or that have none.
    """

    def __init__(self) -> None:
        self.left = 0  # how often this process left something there
        self._seen = -1
        self._again_s = 0.0

    def saw_nothing(self, left: int) -> None:
        """Note that nothing was due, and what `left` was before the look."""
        self._seen, self._again_s = left, time.monotonic() + _LOOK_EVERY_S

    def is_due(self) -> bool:
        """Say whether to look."""
        return self._seen != self.left or time.monotonic() >= self._again_s


def _is_outage(worked: Sequence[Worked]) -> bool:
    """Say whether the embedder gave nothing at all, where it was asked for something."""
    return any(one.reason for one in worked) and all(one.vectors is None for one in worked)


def _outage(texts: Sequence[str], embedded: Embedded) -> str | None:
    """Give the failure of an embedder that gave nothing for some texts: it is not asked for the rest."""
    return embedded.failure if len(texts) > _FEW and not embedded.vectors else None


class IndexingStore(BaseStore, Generic[S]):
    """A store whose index may lag behind its items, and is worked off.

    Args:
        keeper: the engine's items.
        index, ttl, search_mode, history: see `check_settings`.
        load_embedder: turns the name of an embedder into one.
        clock: gives the time, aware UTC.
        cache_bytes: the most memory for what is read again and again; the keeper has its part of it already.
    """

    def __init__(
        self,
        keeper: Keeper[S],
        *,
        index: Mapping[str, Any] | None = None,
        ttl: Mapping[str, Any] | None = None,
        search_mode: Mode | None = None,
        load_embedder: LoadEmbedder | None = None,
        history: Mapping[str, Any] | bool | None = None,
        clock: Callable[[], datetime] | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.settings = check_settings(index, ttl, search_mode, load_embedder, history, cache_bytes)
        self.index_config = dict(index) if index is not None else None
        self.ttl_config = dict(ttl) if ttl is not None else None
        self.expiry = self.settings.expiry
        self._keeper: Keeper[S] | SealedKeeper[S] = keeper
        self._clock = clock or utc_now
        self._outbox = Lookout()
        self._looked_for_others = self._looked_for_sealed = False
        self._working = threading.Lock()

    def encrypt(self, keys: Keys) -> None:
        """Keep what is put from now on encrypted, and read nothing else; called before the store is used."""
        self._keeper = SealedKeeper(self._keeper, keys)

    @abstractmethod
    def _transact(self, how: How, work: Callable[[S], T]) -> T:
        """Run work in a transaction: read it, commit it, or take back what it wrote."""

    @abstractmethod
    async def _atransact(self, how: How, work: Callable[[S], T]) -> T:
        """Like `_transact`, off the event loop."""

    async def _told(self) -> None:
        """Let a caller learn now that it was cancelled during a transaction, if the engine's go on all the same."""

    def index_status(self) -> IndexStatus:
        """Say how many items are indexed, what waits for its vectors, and why."""
        return self._transact("read", lambda state: self._keeper.index_status(state, *self._embedder))

    async def aindex_status(self) -> IndexStatus:
        """Like `index_status`, off the event loop."""
        return await self._atransact("read", lambda state: self._keeper.index_status(state, *self._embedder))

    def embed_waiting(self) -> int:
        """Make the vectors that wait, and give their number; what fails again goes on waiting."""
        return self._embed_waiting(None)

    async def aembed_waiting(self) -> int:
        """Like `embed_waiting`, off the event loop."""
        return await self._aembed_waiting(None)

    def _embed_waiting(self, rounds: int | None) -> int:
        """Make the vectors that wait, in so many rounds at most: a call that comes by does not stay for all."""
        made = 0
        if self.settings.embedder is None or not self._working.acquire(blocking=False):
            return made
        try:
            for _ in count() if rounds is None else range(rounds):
                known = self._outbox.left
                if not (found := self._transact("read", self._find_waiting)):
                    self._outbox.saw_nothing(known)
                    break
                worked = finish_waiting(found, self._embed(waiting_texts(found, self.settings)), self.settings)
                self._transact("write", partial(self._set_vectors, worked))
                made += sum(w.vectors is not None for w in worked)
                if _is_outage(worked):
                    break
        finally:
            self._working.release()
        return made

    async def _aembed_waiting(self, rounds: int | None) -> int:
        """Like `_embed_waiting`, off the event loop."""
        made = 0
        if self.settings.embedder is None or not self._working.acquire(blocking=False):
            return made
        try:
            for _ in count() if rounds is None else range(rounds):
                known = self._outbox.left
                if not (found := await self._atransact("read", self._find_waiting)):
                    self._outbox.saw_nothing(known)
                    break
                worked = finish_waiting(found, await self._aembed(waiting_texts(found, self.settings)), self.settings)
                await self._atransact("write", partial(self._set_vectors, worked))
                made += sum(w.vectors is not None for w in worked)
                if _is_outage(worked):
                    break
        finally:
            self._working.release()
        return made

    def reindex(self, progress: Progress | None = None) -> int:
        """Index every item anew, as after a change of the embedder or the stemming, while searches go on.

        Args:
            progress: called with the items done and their number.

        Returns:
            how many items got new vectors; those whose texts and model are the same keep theirs. While the embedder is
            out, or there is none, those of another embedder stay, and the items wait for new ones.
        """
        items, done, after, anew, failure = self.index_status().items, 0, -1, 0, None
        while found := self._transact("read", partial(self._find_indexed, after)):
            texts = stale_texts(found, self.settings)
            embedded = self._embed(texts) if failure is None else Embedded(failure=failure)
            failure = failure or _outage(texts, embedded)
            made = self._transact("write", partial(self._reindex, found, embedded))
            after, done, anew = found[-1].id, done + len(found), anew + made
            if progress:
                progress(done, max(items, done))
        self._transact("write", self._keeper.forget_models)
        return anew

    async def areindex(self, progress: Progress | None = None) -> int:
        """Like `reindex`, off the event loop."""
        items, done, after, anew, failure = (await self.aindex_status()).items, 0, -1, 0, None
        while found := await self._atransact("read", partial(self._find_indexed, after)):
            texts = stale_texts(found, self.settings)
            embedded = await self._aembed(texts) if failure is None else Embedded(failure=failure)
            failure = failure or _outage(texts, embedded)
            made = await self._atransact("write", partial(self._reindex, found, embedded))
            after, done, anew = found[-1].id, done + len(found), anew + made
            if progress:
                progress(done, max(items, done))
        await self._atransact("write", self._keeper.forget_models)
        return anew

    @property
    def _model(self) -> str:
        return self.settings.embedder.model if self.settings.embedder else ""

    @property
    def _embedder(self) -> tuple[str, int | None]:
        """The model of the embedder and the length of its vectors, as far as it is known."""
        return self._model, self.settings.embedder.dims if self.settings.embedder else None

    def _embed(self, texts: list[str]) -> Embedded:
        return self.settings.embedder.documents(texts) if texts and self.settings.embedder else Embedded()

    async def _aembed(self, texts: list[str]) -> Embedded:
        return await self.settings.embedder.adocuments(texts) if texts and self.settings.embedder else Embedded()

    def _outbox_is_due(self, embedded: Embedded) -> bool:
        """Say whether to work off the outbox: something may wait, and the embedder has just answered."""
        return bool(embedded.vectors) and embedded.failure is None and self._outbox.is_due()

    def _find_waiting(self, state: S) -> list[Waiting]:
        return self._keeper.waiting(state, _AT_ONCE, *self._embedder, self._clock())

    def _set_vectors(self, worked: list[Worked], state: S) -> None:
        self._keeper.set_vectors(state, worked, self._clock())

    def _find_indexed(self, after: int, state: S) -> list[Indexed]:
        return self._keeper.indexed(state, after, _AT_ONCE)

    def _reindex(self, found: list[Indexed], embedded: Embedded, state: S) -> int:
        others_embed = self.settings.embedder is None and bool(self._keeper.other_models(state, *self._embedder))
        anew = finish_reindexing(found, embedded, self.settings, others_embed=others_embed)
        if any(one.waiting for one in anew):
            self._outbox.left += 1
        self._keeper.reindex(state, anew, self._clock())
        return sum(
            new.vectors is not None and new.vectors is not old.vectors for old, new in zip(found, anew, strict=True)
        )

    def _look_for_other_models(self, state: S) -> None:
        """Say once when this store's embedder is not the one that made what is kept."""
        self._looked_for_others = True
        if self._model and (others := self._keeper.other_models(state, *self._embedder)):
            log.warning(
                "some memories have vectors of %s and are not found by meaning with %s: call reindex()",
                ", ".join(others), self._model,
            )  # fmt: skip
