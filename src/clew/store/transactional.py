"""How a store carries out operations on any engine that has transactions: check, embed, then one transaction.

The order of things is decided here, once, in both colours; an engine gives a `Keeper` (what can be done inside a
transaction) and the two verbs that open one. The embedder is called before the transaction, never inside it.
"""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, Literal, Protocol, TypeVar

from clew.errors import EmbeddingError
from clew.store.base import BaseStore
from clew.store.embedding import Embedded
from clew.store.namespaces import check_labels
from clew.store.operations import Item, Mode, Namespace, NamespacePath, Op, PutOp, Result, SearchItem
from clew.store.outbox import IndexStatus, Waiting, Worked, finish_waiting, waiting_texts
from clew.store.planning import (
    Draft,
    PreparedGet,
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
from clew.store.settings import LoadEmbedder, check_settings
from clew.store.sweeping import Done, DoneCount, Sweeper

log = logging.getLogger("clew.store")

S = TypeVar("S")
State = TypeVar("State", contravariant=True)
T = TypeVar("T")
How = Literal["read", "write", "look_ahead"]
Place = tuple[Namespace, str]
_AT_ONCE = 256


@dataclass(slots=True, kw_only=True)
class Reading:
    """The circumstances of reads in one transaction.

    Args:
        now: what has expired by then is not seen.
        committed: everything seen is committed, so caches may be filled.
        ending: items that were read with refresh and have a ttl; the engine adds to it.
    """

    now: datetime
    committed: bool
    ending: list[Place] = field(default_factory=list)


class Keeper(Protocol[State]):
    """What an engine can do inside a transaction on its state."""

    def get(self, state: State, read: PreparedGet, reading: Reading) -> Item | None:
        """Give one item that has not expired."""

    def search(self, state: State, read: PreparedSearch, reading: Reading) -> list[SearchItem]:
        """Give one page of items that have not expired."""

    def list_namespaces(self, state: State, read: PreparedListing, now: datetime) -> list[Namespace]:
        """Give one page of the namespaces that hold items."""

    def apply(self, state: State, writes: Sequence[PreparedWrite], now: datetime) -> None:
        """Apply writes in order; Conflict when an `if_version` does not fit."""

    def refresh(self, state: State, items: Sequence[Place], now: datetime) -> None:
        """Give items their whole ttl again, where they have one and have not expired."""

    def delete_namespace(self, state: State, prefix: Namespace) -> int:
        """Delete everything at or below the prefix and give the number of items."""

    def sweep(self, state: State, now: datetime) -> int:
        """Delete what has expired and give its number."""

    def waiting(self, state: State, limit: int, model: str, now: datetime) -> list[Waiting]:
        """Give items whose vectors are to be made now, oldest first."""

    def set_vectors(self, state: State, worked: Sequence[Worked], now: datetime) -> None:
        """Keep vectors, or the next failure, of items that have not changed since they were given as waiting."""

    def index_status(self, state: State, model: str) -> IndexStatus:
        """Say how many items are indexed, and what waits and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Operations, ready to be carried out in one transaction."""

    size: int
    reads: list[tuple[int, PreparedRead]]
    writes: Sequence[PreparedWrite]
    pending: Sequence[PreparedWrite]

    @property
    def how(self) -> How:
        return "look_ahead" if self.pending else "write" if self.writes else "read"


@dataclass(slots=True, kw_only=True)
class _Drafts:
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
        index, ttl, search_mode: see `check_settings`.
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
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.index_config = dict(index) if index is not None else None
        self.ttl_config = dict(ttl) if ttl is not None else None
        self.settings = check_settings(index, ttl, search_mode, load_embedder)
        self.expiry = self.settings.expiry
        self._keeper = keeper
        self._clock = clock or (lambda: datetime.now(UTC))
        self._some_wait = True  # until the outbox was seen empty
        self._working = threading.Lock()
        self._sweeper = Sweeper(self.sweep_ttl, self.expiry.sweep_every_s)

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
        labels = check_labels(prefix, what="prefix")
        return self._transact("write", lambda state: self._keeper.delete_namespace(state, labels))

    async def adelete_namespace(self, prefix: NamespacePath) -> int:
        """See BaseStore.adelete_namespace."""
        labels = check_labels(prefix, what="prefix")
        return await self._atransact("write", lambda state: self._keeper.delete_namespace(state, labels))

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

    def sweep_ttl(self) -> DoneCount:
        """Delete what has expired and give its number; may be awaited. Work off what waits for its vectors."""
        swept = self._transact("write", lambda state: self._keeper.sweep(state, self._clock()))
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
            writes=[finish_write(draft, embedded, self.settings) for draft in drafts.writes],
            pending=[finish_write(draft, embedded, self.settings) for draft in drafts.pending],
        )
        if any(write.waiting for write in plan.writes):
            self._some_wait = True
            log.warning("memories are kept and found by words, but wait for their vectors: %s", embedded.failure)
        return plan

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

    def _read(self, state: S, read: PreparedRead, reading: Reading) -> Result:
        match read:
            case PreparedGet():
                return self._keeper.get(state, read, reading)
            case PreparedSearch():
                return self._keeper.search(state, read, reading)
            case PreparedListing():
                return self._keeper.list_namespaces(state, read, reading.now)

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
            words = [(term, embedder.query(word)) for word, term in words_to_embed(read, self.settings)]
            return with_vectors(read, embedder.query(read.query), words)
        except EmbeddingError as error:
            return _by_words(read, error)

    async def _awith_vector(self, read: PreparedRead) -> PreparedRead:
        embedder = self.settings.embedder
        if embedder is None or not isinstance(read, PreparedSearch) or read.mode not in ("semantic", "hybrid"):
            return read
        try:
            words = [(term, await embedder.aquery(word)) for word, term in words_to_embed(read, self.settings)]
            return with_vectors(read, await embedder.aquery(read.query), words)
        except EmbeddingError as error:
            return _by_words(read, error)

    def _outbox_is_due(self, embedded: Embedded) -> bool:
        """Say whether to work off the outbox: something may wait, and the embedder has just answered."""
        return self._some_wait and bool(embedded.vectors) and embedded.failure is None

    def _find_waiting(self, state: S) -> list[Waiting]:
        return self._keeper.waiting(state, _AT_ONCE, self._model, self._clock())

    def _set_vectors(self, worked: list[Worked], state: S) -> None:
        self._keeper.set_vectors(state, worked, self._clock())


def _by_words(read: PreparedSearch, error: EmbeddingError) -> PreparedSearch:
    """Let words alone answer a hybrid search whose query has no vector; a semantic one has no other answer."""
    if read.mode == "semantic":
        raise error
    log.warning("searching by words alone: %s", error)
    return read
