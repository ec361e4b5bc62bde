"""How a store carries out operations on any engine that has transactions: check, embed, then one transaction.

The order of things is decided here, once, in both colours; an engine gives a `Keeper` (what can be done inside a
transaction) and the two verbs that open one. The embedder is called before the transaction, never inside it.
"""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec import Struct, field

from clew.errors import EmbeddingError, UsageError
from clew.store.base import BaseStore
from clew.store.embedding import Embedded
from clew.store.expiry import from_us, to_us
from clew.store.history import Moment, Past, Version, as_it_was, check_remembered, forgotten_before_us, history_of
from clew.store.keeper import Erased, How, Keeper, Reading
from clew.store.namespaces import check_labels
from clew.store.operations import Mode, Namespace, NamespacePath, Op, PutOp, Result
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
from clew.store.past import past_texts, search_past
from clew.store.planning import (
    Draft,
    PreparedGet,
    PreparedHistory,
    PreparedListing,
    PreparedRead,
    PreparedSearch,
    PreparedWrite,
    draft_read,
    draft_write,
    finish_write,
    with_vectors,
    words_to_embed,
)
from clew.store.sealing import Keys, SealedKeeper
from clew.store.settings import LoadEmbedder, check_settings
from clew.store.sweeping import Done, DoneCount, Sweeper

log = logging.getLogger("clew.store")

S = TypeVar("S")
T = TypeVar("T")
Progress = Callable[[int, int], object]
_AT_ONCE = 256


class _Plan(Struct, frozen=True, kw_only=True):
    """Operations, ready to be carried out in one transaction."""

    size: int
    reads: list[tuple[int, PreparedRead]]
    writes: Sequence[PreparedWrite]
    pending: Sequence[PreparedWrite]

    @property
    def how(self) -> How:
        return "look_ahead" if self.pending else "write" if self.writes else "read"


class _Drafts(Struct, kw_only=True):
    """Operations, checked, before anything is embedded."""

    size: int
    reads: list[tuple[int, PreparedRead]] = field(default_factory=list)
    writes: list[Draft] = field(default_factory=list)
    pending: list[Draft] = field(default_factory=list)

    def texts(self) -> list[str]:
        return [text for draft in (*self.writes, *self.pending) for text in draft.texts]


class TransactionalStore(BaseStore, Generic[S]):
    """A store on an engine with transactions.

    Args:
        keeper: the engine's items.
        index, ttl, search_mode, history: see `check_settings`.
        load_embedder: turns the name of an embedder into one.
        clock: gives the time, aware UTC.
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
    ) -> None:
        self.settings = check_settings(index, ttl, search_mode, load_embedder, history)
        self.index_config = dict(index) if index is not None else None
        self.ttl_config = dict(ttl) if ttl is not None else None
        self.expiry = self.settings.expiry
        self._keeper: Keeper[S] | SealedKeeper[S] = keeper
        self._clock = clock or (lambda: datetime.now(UTC))
        self._some_wait = True  # until the outbox was seen empty
        self._looked_for_others = False
        self._working = threading.Lock()
        self._sweeper = Sweeper(self.sweep_ttl, self.expiry.sweep_every_s)

    def encrypt(self, keys: Keys) -> None:
        """Keep what is put from now on encrypted, and read nothing else; called before the store is used."""
        self._keeper = SealedKeeper(self._keeper, keys)

    @abstractmethod
    def _transact(self, how: How, work: Callable[[S], T]) -> T:
        """Run work in a transaction: read it, commit it, or take back what it wrote."""

    @abstractmethod
    async def _atransact(self, how: How, work: Callable[[S], T]) -> T:
        """Like `_transact`, off the event loop."""

    def execute(self, ops: Sequence[Op], *, pending: Sequence[PutOp | PreparedWrite] = ()) -> list[Result]:
        """See BaseStore.execute."""
        drafts = self._draft(ops, pending)
        embedded = self._embed(drafts.texts())
        reads = [(at, self._with_vector(read)) for at, read in drafts.reads]
        plan = self._finish(drafts, reads, embedded)
        reading, results = self._transact(plan.how, partial(self._carry_out, plan))
        if plan.pending and plan.writes:
            self._transact("write", partial(self._apply, plan.writes))
        if reading.ending:
            self._transact("write", partial(self._refresh_ending, reading))
        if self._outbox_is_due(embedded):
            self.embed_waiting()
        for at, search, found in _looking_back(plan, results):
            texts = past_texts(found, search, self.settings)
            results[at] = search_past(found, search, self.settings, self._embed(texts))
        return results

    async def aexecute(self, ops: Sequence[Op], *, pending: Sequence[PutOp | PreparedWrite] = ()) -> list[Result]:
        """See BaseStore.aexecute."""
        drafts = self._draft(ops, pending)
        embedded = await self._aembed(drafts.texts())
        reads = [(at, await self._awith_vector(read)) for at, read in drafts.reads]
        plan = self._finish(drafts, reads, embedded)
        reading, results = await self._atransact(plan.how, partial(self._carry_out, plan))
        if plan.pending and plan.writes:
            await self._atransact("write", partial(self._apply, plan.writes))
        if reading.ending:
            await self._atransact("write", partial(self._refresh_ending, reading))
        if self._outbox_is_due(embedded):
            await self.aembed_waiting()
        for at, search, found in _looking_back(plan, results):
            texts = past_texts(found, search, self.settings)
            results[at] = search_past(found, search, self.settings, await self._aembed(texts))
        return results

    def prepare(self, writes: Sequence[PutOp]) -> Sequence[PreparedWrite]:
        """See BaseStore.prepare."""
        drafts = self._draft(writes, ())
        return self._finish(drafts, [], self._embed(drafts.texts())).writes

    async def aprepare(self, writes: Sequence[PutOp]) -> Sequence[PreparedWrite]:
        """See BaseStore.aprepare."""
        drafts = self._draft(writes, ())
        return self._finish(drafts, [], await self._aembed(drafts.texts())).writes

    def apply(self, writes: Sequence[PreparedWrite]) -> None:
        """See BaseStore.apply."""
        self._transact("write", partial(self._apply, writes))

    async def aapply(self, writes: Sequence[PreparedWrite]) -> None:
        """See BaseStore.aapply."""
        await self._atransact("write", partial(self._apply, writes))

    def delete_namespace(self, prefix: NamespacePath) -> int:
        """See BaseStore.delete_namespace."""
        return self._transact("write", partial(self._delete_namespace, check_labels(prefix, what="prefix")))

    async def adelete_namespace(self, prefix: NamespacePath) -> int:
        """See BaseStore.adelete_namespace."""
        return await self._atransact("write", partial(self._delete_namespace, check_labels(prefix, what="prefix")))

    def erase_namespace(self, prefix: NamespacePath) -> Erased:
        """Remove every item at or below the prefix for good, with all its old versions, and give their numbers."""
        labels = check_labels(prefix, what="prefix")
        return self._transact("write", lambda state: self._keeper.erase(state, labels))

    async def aerase_namespace(self, prefix: NamespacePath) -> Erased:
        """Like `erase_namespace`, off the event loop."""
        labels = check_labels(prefix, what="prefix")
        return await self._atransact("write", lambda state: self._keeper.erase(state, labels))

    def with_keeper(self, how: How, work: Callable[[Keeper[Any], Any], T]) -> T:
        """Do something with everything that is kept, in one transaction; see clew.store.moving."""
        self._some_wait = self._some_wait or how == "write"
        return self._transact(how, lambda state: work(self._keeper, state))

    async def awith_keeper(self, how: How, work: Callable[[Keeper[Any], Any], T]) -> T:
        """Like `with_keeper`, off the event loop."""
        self._some_wait = self._some_wait or how == "write"
        return await self._atransact(how, lambda state: work(self._keeper, state))

    def index_status(self) -> IndexStatus:
        """Say how many items are indexed, what waits for its vectors, and why."""
        return self._transact("read", lambda state: self._keeper.index_status(state, self._model))

    async def aindex_status(self) -> IndexStatus:
        """Like `index_status`, off the event loop."""
        return await self._atransact("read", lambda state: self._keeper.index_status(state, self._model))

    def embed_waiting(self) -> int:
        """Make the vectors that wait, and give their number; what fails again goes on waiting."""
        made = 0
        if self.settings.embedder is None or not self._working.acquire(blocking=False):
            return made
        try:
            while found := self._transact("read", self._find_waiting):
                worked = finish_waiting(found, self._embed(waiting_texts(found, self.settings)), self.settings)
                self._transact("write", partial(self._set_vectors, worked))
                made += sum(w.vectors is not None for w in worked)
                if any(w.vectors is None for w in worked):
                    break
            else:
                self._some_wait = False
        finally:
            self._working.release()
        return made

    async def aembed_waiting(self) -> int:
        """Like `embed_waiting`, off the event loop."""
        made = 0
        if self.settings.embedder is None or not self._working.acquire(blocking=False):
            return made
        try:
            while found := await self._atransact("read", self._find_waiting):
                worked = finish_waiting(found, await self._aembed(waiting_texts(found, self.settings)), self.settings)
                await self._atransact("write", partial(self._set_vectors, worked))
                made += sum(w.vectors is not None for w in worked)
                if any(w.vectors is None for w in worked):
                    break
            else:
                self._some_wait = False
        finally:
            self._working.release()
        return made

    def reindex(self, progress: Progress | None = None) -> int:
        """Index every item anew, as after a change of the embedder or the stemming, while searches go on.

        Args:
            progress: called with the items done and their number.

        Returns:
            how many items got new vectors; those whose texts and model are the same keep theirs.
        """
        items, done, after, anew = self.index_status().items, 0, -1, 0
        while found := self._transact("read", partial(self._find_indexed, after)):
            texts = stale_texts(found, self.settings)
            made = self._transact("write", partial(self._reindex, found, self._embed(texts)))
            after, done, anew = found[-1].id, done + len(found), anew + made
            if progress:
                progress(done, max(items, done))
        self._transact("write", self._keeper.forget_models)
        return anew

    async def areindex(self, progress: Progress | None = None) -> int:
        """Like `reindex`, off the event loop."""
        items, done, after, anew = (await self.aindex_status()).items, 0, -1, 0
        while found := await self._atransact("read", partial(self._find_indexed, after)):
            texts = stale_texts(found, self.settings)
            made = await self._atransact("write", partial(self._reindex, found, await self._aembed(texts)))
            after, done, anew = found[-1].id, done + len(found), anew + made
            if progress:
                progress(done, max(items, done))
        await self._atransact("write", self._keeper.forget_models)
        return anew

    def sweep_ttl(self) -> DoneCount:
        """Delete what has expired and give its number; may be awaited.

        Old versions that are no longer to be kept go, too, and what waits for its vectors is worked off.
        """
        swept = self._transact("write", self._sweep)
        self.embed_waiting()
        return DoneCount(swept)

    def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> Done:
        """Sweep in the background until `stop_ttl_sweeper`; may be awaited."""
        self._sweeper.start(None if sweep_interval_minutes is None else sweep_interval_minutes * 60)
        return Done()

    def stop_ttl_sweeper(self, timeout: float | None = None) -> Done:
        """Stop the sweeper and wait for it; may be awaited."""
        self._sweeper.stop(timeout)
        return Done()

    @property
    def _model(self) -> str:
        return self.settings.embedder.model if self.settings.embedder else ""

    def _draft(self, ops: Sequence[Op], pending: Sequence[PutOp | PreparedWrite]) -> _Drafts:
        drafts = _Drafts(size=len(ops))
        for at, op in enumerate(ops):
            if isinstance(op, PutOp):
                drafts.writes.append(draft_write(op, self.settings))
            else:
                drafts.reads.append((at, draft_read(op, self.settings)))
        for write in pending:
            ready = Draft(write=write) if isinstance(write, PreparedWrite) else draft_write(write, self.settings)
            drafts.pending.append(ready)
        return drafts

    def _finish(self, drafts: _Drafts, reads: list[tuple[int, PreparedRead]], embedded: Embedded) -> _Plan:
        plan = _Plan(
            size=drafts.size,
            reads=reads,
            writes=[self._kept(finish_write(draft, embedded, self.settings)) for draft in drafts.writes],
            pending=[self._kept(finish_write(draft, embedded, self.settings)) for draft in drafts.pending],
        )
        if any(write.waiting for write in plan.writes):
            self._some_wait = True
            log.warning("memories are kept and found by words, but wait for their vectors: %s", embedded.failure)
        return plan

    def _kept(self, write: PreparedWrite) -> PreparedWrite:
        return self._keeper.sealed(write) if isinstance(self._keeper, SealedKeeper) else write

    def _carry_out(self, plan: _Plan, state: S) -> tuple[Reading, list[Result]]:
        reading = Reading(now=self._clock(), committed=plan.how == "read")
        if plan.pending:
            self._keeper.apply(state, plan.pending, reading.now)
        results: list[Result] = [None] * plan.size
        for at, read in plan.reads:
            results[at] = self._read(state, read, reading)
        if plan.how == "write":
            self._keeper.apply(state, plan.writes, reading.now)
        return reading, results

    def _read(self, state: S, read: PreparedRead, reading: Reading) -> Any:
        """Give the result of a read; of a search in the past, the versions among which to search."""
        match read:
            case PreparedGet(past=Past() as past):
                found = self._as_it_was(state, read.namespace, read.key, past, reading.now)
                return found[0].item() if found else None
            case PreparedSearch(past=Past() as past):
                return self._as_it_was(state, read.prefix, None, past, reading.now)
            case PreparedHistory():
                versions = self._keeper.versions(state, read.namespace, read.key)
                return history_of(versions, self.settings.history, to_us(reading.now))
            case PreparedGet():
                return self._keeper.get(state, read, reading)
            case PreparedSearch():
                if read.vector and not self._looked_for_others:
                    self._look_for_other_models(state)
                return self._keeper.search(state, read, reading)
            case PreparedListing():
                return self._keeper.list_namespaces(state, read, reading.now)

    def _as_it_was(self, state: S, prefix: Namespace, key: str | None, past: Past, now: datetime) -> list[Version]:
        at = past.at or self._keeper.made_at(state, past.checkpoint)
        if at is None:
            raise UsageError(
                f"the database of this store has no checkpoint {past.checkpoint!r}: name one that get_state_history "
                "lists, of a checkpointer in the same database, or give as_of an aware datetime"
            )
        moment, now_us = Moment(us=to_us(min(at, now)), run_id=past.run_id), to_us(now)
        check_remembered(self.settings.history, moment, now_us)
        return as_it_was(self._keeper.versions(state, prefix, key, moment), moment, now_us)

    def _delete_namespace(self, prefix: Namespace, state: S) -> int:
        return self._keeper.delete_namespace(state, prefix, self._clock(), self.settings.history.versions)

    def _sweep(self, state: S) -> int:
        now, history = self._clock(), self.settings.history
        swept = self._keeper.sweep(state, now, history.versions)
        self._keeper.forget(state, now if history.versions == 0 else from_us(forgotten_before_us(history, to_us(now))))
        return swept

    def _apply(self, writes: Sequence[PreparedWrite], state: S) -> None:
        self._keeper.apply(state, writes, self._clock())

    def _refresh_ending(self, reading: Reading, state: S) -> None:
        self._keeper.refresh(state, reading.ending, reading.now)

    def _embed(self, texts: list[str]) -> Embedded:
        return self.settings.embedder.documents(texts) if texts and self.settings.embedder else Embedded()

    async def _aembed(self, texts: list[str]) -> Embedded:
        return await self.settings.embedder.adocuments(texts) if texts and self.settings.embedder else Embedded()

    def _with_vector(self, read: PreparedRead) -> PreparedRead:
        embedder = self.settings.embedder
        if embedder is None or not isinstance(read, PreparedSearch) or read.mode not in ("semantic", "hybrid"):
            return read
        try:
            words = words_to_embed(read, self.settings)
            return with_vectors(read, embedder.query(read.query), words, embedder.words([word for word, _ in words]))
        except EmbeddingError as error:
            return _by_words(read, error)

    async def _awith_vector(self, read: PreparedRead) -> PreparedRead:
        embedder = self.settings.embedder
        if embedder is None or not isinstance(read, PreparedSearch) or read.mode not in ("semantic", "hybrid"):
            return read
        try:
            words = words_to_embed(read, self.settings)
            vectors = await embedder.awords([word for word, _ in words])
            return with_vectors(read, await embedder.aquery(read.query), words, vectors)
        except EmbeddingError as error:
            return _by_words(read, error)

    def _outbox_is_due(self, embedded: Embedded) -> bool:
        """Say whether to work off the outbox: something may wait, and the embedder has just answered."""
        return self._some_wait and bool(embedded.vectors) and embedded.failure is None

    def _find_waiting(self, state: S) -> list[Waiting]:
        return self._keeper.waiting(state, _AT_ONCE, self._model, self._clock())

    def _set_vectors(self, worked: list[Worked], state: S) -> None:
        self._keeper.set_vectors(state, worked, self._clock())

    def _find_indexed(self, after: int, state: S) -> list[Indexed]:
        return self._keeper.indexed(state, after, _AT_ONCE)

    def _reindex(self, found: list[Indexed], embedded: Embedded, state: S) -> int:
        anew = finish_reindexing(found, embedded, self.settings)
        self._some_wait = self._some_wait or any(one.waiting for one in anew)
        self._keeper.reindex(state, anew, self._clock())
        return sum(
            new.vectors is not None and new.vectors is not old.vectors for old, new in zip(found, anew, strict=True)
        )

    def _look_for_other_models(self, state: S) -> None:
        """Say once when this store's embedder is not the one that made what is kept."""
        self._looked_for_others = True
        if self._model and (others := self._keeper.other_models(state, self._model)):
            log.warning(
                "some memories have vectors of %s and are not found by meaning with %s: call reindex()",
                ", ".join(others), self._model,
            )  # fmt: skip


def _looking_back(plan: _Plan, results: list[Any]) -> list[tuple[int, PreparedSearch, list[Version]]]:
    """Give the searches in the past, which are ranked after the transaction, with what they are to search."""
    return [(at, read, results[at]) for at, read in plan.reads if isinstance(read, PreparedSearch) and read.past]


def _by_words(read: PreparedSearch, error: EmbeddingError) -> PreparedSearch:
    """Let words alone answer a hybrid search whose query has no vector; a semantic one has no other answer."""
    if read.mode == "semantic":
        raise error
    log.warning("searching by words alone: %s", error)
    return read
