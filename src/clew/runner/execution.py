"""One run in progress: what all its calls share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from clew.codec.values import decode
from clew.engine.failures import lineage
from clew.engine.identity import seed_of
from clew.engine.journal import Journal
from clew.engine.places import Places
from clew.engine.questions import Interrupt, Question
from clew.engine.records import Record, Run, ThreadKey, input_checkpoint
from clew.errors import StorageError, Suspended
from clew.runner import pools
from clew.runner.cancelling import Canceller
from clew.runner.crew_io import CrewIO
from clew.runner.logs import fields
from clew.runner.publishing import Publisher
from clew.runner.streams import Emitter
from clew.storage.base import Append, Asked, Checkpointer, Lease
from clew.storage.cache import BaseCache

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger("clew.runs")

Durability = Literal["sync", "async", "exit"]


class Stopped(Suspended):
    """Raised at the next call of a task in a run that is to stop."""


class Result(Struct, frozen=True, kw_only=True):
    """What a run came to: a value, or questions that wait for answers."""

    value: Any = None
    interrupts: tuple[Interrupt, ...] = ()
    interrupted: bool = False


class Execution(Struct, eq=False, kw_only=True):
    """A run in progress.

    Args:
        run_id: 32 hexadecimal digits.
        saver: where it is kept, or None.
        lease: the right to keep it, or None.
        run: as it was kept when it began, or None without a saver.
        journal: what was recorded and is to be replayed, or None where nothing is.
        cache: where results of tasks with a cache policy are kept, or None.
        emitter: where events go, or None where nobody listens.
        durability: when outcomes are kept.
        most: how many calls may be under way at once, or None.
        loop: runs async tasks of blocking bodies, or None for the background loop.
        only_replays: whether the run ends at the first call that is not recorded, so that nothing happens.
        publisher: keeps the events that go to the emitter, for readers elsewhere, or None.
        keeps_failure: whether what the run raises is kept for those who ask later.
    """

    run_id: str
    saver: Checkpointer | None = None
    lease: Lease | None = None
    run: Run | None = None
    journal: Journal | None = None
    cache: BaseCache | None = None
    emitter: Emitter | None = None
    durability: Durability = "sync"
    most: int | None = None
    loop: asyncio.AbstractEventLoop | None = None
    only_replays: bool = False
    publisher: Publisher | None = None
    keeps_failure: bool = False
    places: Places | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: str | None = None
    told: Asked | None = None  # what somebody has asked of the run
    canceller: Canceller | None = None  # of its async body
    hands_over: bool = False  # what stops it is to go on elsewhere
    on_loop: set[asyncio.Task[Any]] = field(default_factory=set)  # async calls under way that blocking code made
    questions: dict[str, Question] = field(default_factory=dict)
    deadlines: Mapping[str, float | None] = {}  # key of a question -> when its time was to be over before
    unheard: list[str] = field(default_factory=list)  # errors of calls that nobody asked for
    values: dict[str, Any] = field(default_factory=dict)  # without a saver: given again to a repeated attempt
    flushing: Future[None] | None = None
    has_ended: bool = False  # how it ended is kept, and the lease given back
    unordered: set[ThreadKey] = field(default_factory=set)  # where calls inside each other remember: they take no turns
    stored: set[str] = field(default_factory=set)  # keys of which there may be a record
    _orders: dict[str, tuple[int, ...]] = field(default_factory=dict)  # key of a question -> what sorts it by its call
    _failures: dict[str, BaseException] = field(default_factory=dict)  # key of a call -> the error it came to
    waiting: dict[str, Record] = field(default_factory=dict)  # goes with the next append
    _crew_io: CrewIO | None = None
    _was_cut: bool = False  # it did not only end by itself after it was told to stop
    _seed: bytes | None = None

    def __post_init__(self) -> None:
        if self.most is not None:
            self.places = Places(self.most)
        if self.journal is not None:
            self.stored.update(self.journal.records)  # may be kept since before

    @property
    def named(self) -> dict[str, Any]:
        """The fields of what the log says of this run."""
        return fields(None if self.lease is None else self.lease.thread, self.run_id)

    @property
    def crew_io(self) -> CrewIO:
        """What its blocking calls that go on side by side share."""
        if self._crew_io is None:
            with self.lock:
                self._crew_io = self._crew_io or CrewIO()
        return self._crew_io

    @property
    def checkpoint_id(self) -> str:
        """The checkpoint at which the run began."""
        return input_checkpoint(self.run_id)

    @property
    def seed(self) -> bytes:
        """What the ids that this run draws come from."""
        if self._seed is None:
            run, lease = self.run, self.lease
            self._seed = (
                seed_of((), self.run_id, b"")
                if run is None or lease is None
                else seed_of(lease.thread, run.previous, run.input or b"")
            )
        return self._seed

    @property
    def asked(self) -> list[Question]:
        """The questions that wait, in the order of their calls, whichever was asked first."""
        return sorted(self.questions.values(), key=lambda question: self._orders[question.key])

    def ask(self, question: Question, order: tuple[int, ...]) -> None:
        """Note a question that waits; `order` is that of its call."""
        self._orders[question.key] = order
        self.questions[question.key] = question

    def stop(self, why: str) -> None:
        """End the run at its next call of a task."""
        self.stopped = why

    def cancel(self, why: str) -> None:
        """End the run at its next call of a task, and cancel what its blocking code waits for on the loop it is on."""
        self.stop(why)
        for work in list(self.on_loop):
            work.cancel()

    def tell(self, what: Asked) -> None:
        """End the run at its next call because somebody asked; with "cancel" also what waits on a loop.

        May be called from any OS thread, and again.
        """
        if self.told == what:
            return
        self.told = what
        self.stop(f"asked to stop ({what})")
        if what != "cancel":
            return
        if (canceller := self.canceller) is not None:
            canceller.cancel()
        for work in list(self.on_loop):
            work.get_loop().call_soon_threadsafe(work.cancel)

    @property
    def is_handed_over(self) -> bool:
        """Whether the run ended half-way, and another worker is to go on with it."""
        return self.hands_over and self._was_cut

    def check_stopped(self) -> None:
        """Raise Stopped if the run is to end here."""
        if self.stopped is not None:
            self._was_cut = True
            raise Stopped(self.stopped)

    def check_new(self, key: str) -> None:
        """Raise Stopped if the run is to end here, or only what is recorded is to be replayed and a call is not."""
        self.check_stopped()
        if self.only_replays:
            if self.journal is not None:
                self.journal.pass_over(key)
            raise Stopped(f"call {key!r} is not recorded")

    def value_of(self, record: Record) -> Any:
        """Return the recorded value of a call."""
        return self.values[record.key] if self.saver is None else decode(record.outcome)

    def note_failure(self, key: str, error: BaseException, record: Record | None) -> None:
        """Remember what a call failed with; a new record waits until the run goes on, for only then does it matter."""
        with self.lock:
            self._failures[key] = error
            if record is not None:
                self.waiting[key] = record
        if record is not None and self.journal is not None:
            self.journal.records[key] = record

    def take_waiting(self, newer: Sequence[Record] = ()) -> tuple[list[Record], list[str]]:
        """Return the records that go with the next append, and the keys of those that it may replace.

        From now on they count as stored, whatever becomes of the append: to replace what is not there is fine.

        Args:
            newer: records of that append; one that waits for the same call is out of date.
        """
        with self.lock:  # what comes to wait just now goes with the next append
            for record in newer:
                self.waiting.pop(record.key, None)
            waiting, self.waiting = self.waiting, {}
        replaces = sorted(waiting.keys() & self.stored)
        self.stored.update(waiting)
        return list(waiting.values()), replaces

    def give_back(self, records: Sequence[Record]) -> None:
        """Let records whose append failed go with the next one."""
        with self.lock:
            self.waiting = {record.key: record for record in records} | self.waiting

    def put_off(self, records: Sequence[Record]) -> None:
        """Keep records later: soon, on a pool, or at the end of the run."""
        with self.lock:
            self.waiting.update((record.key, record) for record in records)
            if self.durability == "async" and (self.flushing is None or self.flushing.done()):
                self.flushing = pools.tasks().submit(self._flush)
        if self.journal is not None:
            self.journal.records.update((record.key, record) for record in records)

    def _flush(self) -> None:
        assert self.saver is not None
        assert self.lease is not None
        while True:
            waiting, replaces = self.take_waiting()
            if not waiting:
                return
            try:
                told = self.saver.execute(Append(lease=self.lease, records=waiting, replaces=replaces))
            except StorageError as error:
                self.give_back(waiting)  # the append that ends the run tries again, and tells if it fails too
                text, extra = "run %s could not keep its records in the background: %s", self.named
                log.warning(text, self.run_id, error, extra=extra)
                return
            if told is not None:
                self.tell(told)

    def reopen(self, error: BaseException) -> list[str]:
        """Let the calls whose failures led to an error run again; return the kept failures among them.

        Failures that wait are kept all the same: what was recorded after them yields once they are no more.
        """
        family = lineage(error)
        with self.lock:
            keys = {key for key, failure in self._failures.items() if id(failure) in family}
            for key in keys:
                del self._failures[key]
                if record := self.waiting.get(key):
                    self.waiting[key] = replace(record, state="reopened")
        if self.journal is not None:
            self.journal.reopen(keys)
        return sorted(keys & self.stored)
