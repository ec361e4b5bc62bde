"""How a store carries out operations on any engine that has transactions: check, embed, then one transaction.

The order of things is decided here, once, in both colours; an engine gives a `Keeper` (what can be done inside a
transaction) and the two verbs that open one. No transaction waits for an embedder: one that answers at once is asked
before it, any other after what was put is committed, and its vectors follow in a transaction of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property, partial
from typing import Any, TypeVar

from clew.errors import EmbeddingError, StorageError, UnreadableRecord, UsageError
from clew.store.embedding import Embedded
from clew.store.expiry import from_us, to_us, ttl_us
from clew.store.history import Moment, Past, Version, as_it_was, check_remembered, forgotten_before_us, history_of
from clew.store.indexing import PASSING_ROUNDS, IndexingStore
from clew.store.keeper import Erased, How, Keeper, Reading
from clew.store.listing import PreparedListing
from clew.store.namespaces import check_labels
from clew.store.operations import GetOp, Item, Namespace, NamespacePath, Op, PutOp, Result, SearchItem
from clew.store.outbox import finish_written
from clew.store.past import past_texts, search_past
from clew.store.plan import Plan, looking_back
from clew.store.planning import (
    UNANSWERED,
    Draft,
    PreparedGet,
    PreparedRead,
    PreparedSearch,
    PreparedWrite,
    draft_get,
    draft_read,
    draft_write,
    finish_write,
    with_vectors,
    words_to_embed,
)
from clew.store.sealing import SealedKeeper, is_sealed
from clew.store.sweeping import Done, DoneCount, Sweeper

log = logging.getLogger("clew.store")

_STILL_WAITING = "memories are kept and found by words, but wait for their vectors: %s"

S = TypeVar("S")
T = TypeVar("T")


class TransactionalStore(IndexingStore[S]):
    """A store on an engine with transactions; see IndexingStore for what it is made with."""

    def execute(self, ops: Sequence[Op], *, pending: Sequence[PutOp | PreparedWrite] = ()) -> list[Result]:
        """See BaseStore.execute."""
        if not pending and len(ops) == 1 and isinstance(op := ops[0], GetOp) and op.as_of is None:
            # The most frequent call of all: one statement, which sees one state by itself.
            item, reading = self._transact("glance", partial(self._glance, draft_get(op)))
            if reading.ending:
                self._transact("write", partial(self._refresh_ending, reading))
            return [item]
        plan = self._plan(ops, pending)
        if plan.drafts or plan.ahead:
            self._finish(plan, self._embed(plan.texts()) if self._waits_for_vectors(plan) else self._known(plan))
        if self.settings.embedder is not None:
            answers = self.settings.embedder.answers
            plan.reads = [(at, self._with_vector(read)) for at, read in plan.reads]
            if answers != self.settings.embedder.answers and self._outbox.is_due():
                with self._asking():
                    self._embed_waiting(1)  # so that what waits is found
        results: list[Any] = [None] * len(ops)
        if plan.reads or plan.pending:
            reading = self._transact(plan.how(), partial(self._carry_out, plan, results))
            if reading.ending:
                self._transact("write", partial(self._refresh_ending, reading))
        if plan.writes and (plan.pending or not plan.reads):
            self.apply(plan.writes)
        if plan.unanswered:
            with self._asking():
                embedded = self._embed(plan.texts())
                self._transact("write", partial(self._answer, plan, embedded))
                self._note(plan, embedded)
        if plan.outbox_is_due:
            with self._asking():
                self._embed_waiting(PASSING_ROUNDS)
        for at, search, found in looking_back(plan, results):
            texts = past_texts(found, search, self.settings)
            results[at] = search_past(found, search, self.settings, self._embed(texts))
        return results

    async def aexecute(self, ops: Sequence[Op], *, pending: Sequence[PutOp | PreparedWrite] = ()) -> list[Result]:
        """See BaseStore.aexecute."""
        if not pending and len(ops) == 1 and isinstance(op := ops[0], GetOp) and op.as_of is None:
            # The most frequent call of all: one statement, which sees one state by itself.
            item, reading = await self._atransact("glance", partial(self._glance, draft_get(op)))
            if reading.ending:
                await self._atransact("write", partial(self._refresh_ending, reading))
            await self._told()
            return [item]
        plan = self._plan(ops, pending)
        if plan.drafts or plan.ahead:
            waits = self._waits_for_vectors(plan)
            self._finish(plan, await self._aembed(plan.texts()) if waits else self._known(plan))
        if self.settings.embedder is not None:
            answers = self.settings.embedder.answers
            plan.reads = [(at, await self._awith_vector(read)) for at, read in plan.reads]
            if answers != self.settings.embedder.answers and self._outbox.is_due():
                with self._asking():
                    await self._aembed_waiting(1)  # so that what waits is found
        results: list[Any] = [None] * len(ops)
        if plan.reads or plan.pending:
            reading = await self._atransact(plan.how(), partial(self._carry_out, plan, results))
            if reading.ending:
                await self._atransact("write", partial(self._refresh_ending, reading))
        if plan.writes and (plan.pending or not plan.reads):
            await self.aapply(plan.writes)
        if plan.unanswered:
            with self._asking():
                embedded = await self._aembed(plan.texts())
                await self._atransact("write", partial(self._answer, plan, embedded))
                self._note(plan, embedded)
        if plan.outbox_is_due:
            with self._asking():
                await self._aembed_waiting(PASSING_ROUNDS)
        for at, search, found in looking_back(plan, results):
            texts = past_texts(found, search, self.settings)
            results[at] = search_past(found, search, self.settings, await self._aembed(texts))
        await self._told()
        return results

    def prepare(self, writes: Sequence[PutOp]) -> Sequence[PreparedWrite]:
        """See BaseStore.prepare."""
        plan = self._plan(writes, ())
        self._finish(plan, self._embed(plan.texts()))
        return plan.writes

    async def aprepare(self, writes: Sequence[PutOp]) -> Sequence[PreparedWrite]:
        """See BaseStore.aprepare."""
        plan = self._plan(writes, ())
        self._finish(plan, await self._aembed(plan.texts()))
        return plan.writes

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
        deleted = await self._atransact("write", partial(self._delete_namespace, check_labels(prefix, what="prefix")))
        await self._told()
        return deleted

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
        self._outbox.left += how == "write"
        return self._transact(how, lambda state: work(self._keeper, state))

    async def awith_keeper(self, how: How, work: Callable[[Keeper[Any], Any], T]) -> T:
        """Like `with_keeper`, off the event loop."""
        self._outbox.left += how == "write"
        return await self._atransact(how, lambda state: work(self._keeper, state))

    def sweep_ttl(self) -> DoneCount:
        """Delete what has expired and give its number; may be awaited.

        Old versions that are no longer to be kept go, too, and what waits for its vectors is worked off.
        """
        swept = self._transact("write", self._sweep)
        self.embed_waiting()
        return DoneCount(swept)

    def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> Done:
        """Sweep in the background until `stop_ttl_sweeper`; may be awaited.

        Args:
            sweep_interval_minutes: how often; None: as the store was set up.

        Raises:
            InvalidValue: not a number of minutes above zero.
        """
        every = sweep_interval_minutes
        self._sweeper.start(None if every is None else ttl_us(every) / 1_000_000)
        return Done()

    def stop_ttl_sweeper(self, timeout: float | None = None) -> Done:
        """Stop the sweeper and wait for it; may be awaited."""
        self._sweeper.stop(timeout)
        return Done()

    @cached_property
    def _sweeper(self) -> Sweeper:
        return Sweeper(self.sweep_ttl, self.expiry.sweep_every_s)

    def _plan(self, ops: Sequence[Op], pending: Sequence[PutOp | PreparedWrite]) -> Plan:
        plan = Plan([], [], [])
        for at, op in enumerate(ops):
            if isinstance(op, PutOp):
                plan.drafts.append(draft_write(op, self.settings))
            else:
                plan.reads.append((at, draft_read(op, self.settings)))
        for write in pending:
            ready = Draft(write=write) if isinstance(write, PreparedWrite) else draft_write(write, self.settings)
            plan.ahead.append(ready)
        return plan

    def _waits_for_vectors(self, plan: Plan) -> bool:
        """Say whether the embedder is asked before anything is written: where that takes no time, or reads need it."""
        return bool(plan.ahead) or self.settings.embedder is None or self.settings.embedder.at_once

    def _known(self, plan: Plan) -> Embedded:
        return self.settings.embedder.known(plan.texts()) if self.settings.embedder else Embedded()

    def _finish(self, plan: Plan, embedded: Embedded) -> None:
        """Put the vectors into the drafts, or the reason why they wait for them."""
        plan.writes = [self._kept(finish_write(draft, embedded, self.settings)) for draft in plan.drafts]
        plan.pending = [self._kept(finish_write(draft, embedded, self.settings)) for draft in plan.ahead]
        if self.settings.embedder is None:
            return
        plan.unanswered = [
            (write, draft.texts)
            for write, draft in zip(plan.writes, plan.drafts, strict=True)
            if write.waiting == UNANSWERED
        ]
        if not plan.unanswered:
            self._note(plan, embedded)

    @contextmanager
    def _asking(self) -> Generator[None]:
        """Leave vectors that this call does not come to make to a later one: it does not fail because of them."""
        try:
            yield
        except StorageError as error:
            self._outbox.left += 1
            log.warning(_STILL_WAITING, error)
        except BaseException:
            self._outbox.left += 1
            raise

    def _answer(self, plan: Plan, embedded: Embedded, state: S) -> None:
        """Give what has just been put the vectors that were made since, or the reason for which it waits on."""
        found = self._keeper.written(state, [write for write, _ in plan.unanswered])
        worked = finish_written(found, [texts for _, texts in plan.unanswered], embedded, self._model)
        self._keeper.set_vectors(state, worked, self._clock())

    def _note(self, plan: Plan, embedded: Embedded) -> None:
        """Note whether what was put waits, and whether to work off the outbox."""
        if any(text not in embedded.vectors for draft in plan.drafts for text in draft.texts):
            self._outbox.left += 1
            log.warning(_STILL_WAITING, embedded.failure)
        plan.outbox_is_due = self._outbox_is_due(embedded)

    def _kept(self, write: PreparedWrite) -> PreparedWrite:
        return self._keeper.sealed(write) if isinstance(self._keeper, SealedKeeper) else write

    def _glance(self, read: PreparedGet, state: S) -> tuple[Item | None, Reading]:
        reading = Reading(now=self._clock(), committed=True)
        return self._get(state, read, reading), reading

    def _carry_out(self, plan: Plan, results: list[Any], state: S) -> Reading:
        """Put the results of reads at their places, and apply what is to be applied in the same transaction."""
        reading = Reading(now=self._clock(), committed=not plan.writes and not plan.pending)
        if plan.pending:
            self._keeper.apply(state, plan.pending, reading.now)
        for at, read in plan.reads:
            results[at] = self._read(read, reading, state)
        if plan.writes and not plan.pending:
            self._keeper.apply(state, plan.writes, reading.now)
        return reading

    def _read(self, read: PreparedRead, reading: Reading, state: S) -> Any:
        """Give the result of a read; of a search in the past, the versions among which to search."""
        if isinstance(read, PreparedGet):
            return self._get(state, read, reading)
        if isinstance(read, PreparedSearch):
            return self._search(state, read, reading)
        if isinstance(read, PreparedListing):
            return self._keeper.list_namespaces(state, read, reading.now)
        versions = self._keeper.versions(state, read.namespace, read.key)
        return history_of(versions, self.settings.history, to_us(reading.now))

    def _get(self, state: S, read: PreparedGet, reading: Reading) -> Item | None:
        if read.past is not None:
            then = self._as_it_was(state, read.namespace, read.key, read.past, reading.now)
            return then[0].item() if then else None
        if (stored := self._keeper.get(state, read, reading)) is None:
            return None
        if read.refresh and stored.ttl_us is not None:
            reading.ending.append((stored.namespace, stored.key))
        return stored.item()

    def _search(self, state: S, read: PreparedSearch, reading: Reading) -> list[SearchItem] | list[Version]:
        if read.past is not None:
            return self._as_it_was(state, read.prefix, None, read.past, reading.now)
        if read.vector and not self._looked_for_others:
            self._look_for_other_models(state)
        found = self._keeper.search(state, read, reading)
        if not found and not self._looked_for_sealed:
            self._look_for_sealed(state)
        if read.refresh:
            ending = [one.stored for one in found if one.stored.ttl_us is not None]
            reading.ending.extend((stored.namespace, stored.key) for stored in ending)
        return [one.item() for one in found]

    def _look_for_sealed(self, state: S) -> None:
        """Refuse to say that nothing was found where nothing can be read: encrypted values meet no filter or query."""
        self._looked_for_sealed = True
        for memory in () if isinstance(self._keeper, SealedKeeper) else self._keeper.memories(state, -1, 1, past=False):
            if memory.item is not None and is_sealed(memory.item.write.value):
                self._looked_for_sealed = False
                raise UnreadableRecord("what is kept here is encrypted: open the database with its encryption keys")

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


def _by_words(read: PreparedSearch, error: EmbeddingError) -> PreparedSearch:
    """Let words alone answer a hybrid search whose query has no vector; a semantic one has no other answer."""
    if read.mode == "semantic":
        raise error
    log.warning("searching by words alone: %s", error)
    return read
