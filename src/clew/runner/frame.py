"""Who is calling: the body that runs now, the call it belongs to, and what both may use."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct, field

from clew.codec.fingerprint import fingerprint
from clew.engine.events import Namespace
from clew.engine.identity import DRAWN, Counter, drawn_id, question_id
from clew.engine.limits import Deadlines
from clew.engine.places import Place
from clew.engine.records import Run, ThreadKey
from clew.engine.unset import UNSET
from clew.errors import NotInWorkflow
from clew.late import late
from clew.runner.runtime import Runtime

if TYPE_CHECKING:
    import asyncio

    from clew.runner.caching import Entry
    from clew.runner.callee import Callee
    from clew.runner.execution import Execution
    from clew.runner.futures import Future
    from clew.runner.loop_futures import LoopFuture
    from clew.runner.memory import RunStore
    from clew.runner.saved import Saved
    from clew.store.base import BaseStore
    from clew.store.planning import PreparedWrite
else:
    late(globals(), "asyncio")

current: ContextVar[Frame | None] = ContextVar("clew_frame", default=None)

_job: ContextVar[tuple[Frame, threading.Thread, object] | None] = ContextVar("clew_job", default=None)


def _leave_run() -> None:
    """Let a forked child be outside of the run in which its parent forked: it does not hold the thread."""
    current.set(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_run)


def running() -> Frame:
    """Return the body that runs now.

    Raises:
        NotInWorkflow: none does.
    """
    frame = current.get()
    if frame is None:
        raise NotInWorkflow(
            "this works only inside a running workflow or task, in the process that runs it; "
            "an OS thread of your own needs a copy of its context: contextvars.copy_context().run(...)"
        )
    return frame


class Heard(Protocol):
    """A future that knows whether anybody asked for its outcome."""

    heard: bool


class Scope:
    """What a workflow, nested ones included, hands down to the calls below it.

    Args:
        workflow: its name.
        config: the caller's config, merged with what was bound.
        context: the caller's context, as its schema made it.
        store: the run's view of the store, or None.
        previous: what the last run saved, or UNSET.
        grows_from: the pieces of the long lists in it.
        namespace: () for the outermost workflow; names the nested one in streams.
        remembers_on: the thread on which a nested workflow saves a value for its next run, or None.
        given: id of the run on that thread that saved `previous`, or None.
        head: the newest run of that thread when `previous` was read, or None.
    """

    __slots__ = (
        "config", "context", "given", "grows_from", "head", "namespace", "previous", "remembers_on", "store",
        "workflow",
    )  # fmt: skip

    def __init__(
        self,
        *,
        workflow: str,
        config: dict[str, Any],
        context: Any,
        store: RunStore | None,
        previous: Saved,
        namespace: Namespace = (),
        remembers_on: ThreadKey | None = None,
    ) -> None:
        self.workflow = workflow
        self.config = config
        self.context = context
        self.store = store
        self.previous = previous.value
        self.grows_from = previous.chains
        self.namespace = namespace
        self.remembers_on = remembers_on
        self.given: str | None = None
        self.head: Run | None = None


class Call(Struct, eq=False):
    """One call of a function within a run.

    Args:
        execution: the run in progress.
        callee: the function.
        key: the call's stable name within the run; "" for the workflow itself.
        args: passed by position.
        kwargs: passed by name.
        parent: the body that made the call, or None.
        scope: what the call's body may use.
        number: which of its parent's calls it is, from 1; 0 for the workflow itself.
        place: its right to be under way, where these are limited.
        attempts: how many were begun.
    """

    execution: Execution
    callee: Callee
    key: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    parent: Frame | None
    scope: Scope
    number: int = 0
    place: Place | None = None
    attempts: int = 0
    _id: str | None = None

    @property
    def id(self) -> str:
        """The same on every attempt and after every crash: 32 hexadecimal digits."""
        if self._id is None:
            self._id = question_id(self.execution.run_id, self.key)
        return self._id

    @property
    def order(self) -> tuple[int, ...]:
        """What sorts the calls of a run by when they were made."""
        return () if self.parent is None else (*self.parent.call.order, self.number)

    @property
    def is_workflow(self) -> bool:
        """Whether the call is of a workflow, outermost or nested."""
        return self.parent is None or self.scope is not self.parent.call.scope


class Frame(Struct, eq=False):
    """One attempt at a call: the body that runs.

    Args:
        call: what is attempted.
        attempt: from 1.
        first_attempt_s: when the first attempt began, seconds since the epoch.
    """

    call: Call
    attempt: int
    first_attempt_s: float
    counter: Counter | None = None
    home: object = None  # the asyncio task, or the number of the OS thread, that runs the body
    loop: asyncio.AbstractEventLoop | None = None
    lazy: Future[Any] | LoopFuture[Any] | None = None  # the newest call, as long as nobody has begun it
    has_starter: bool = False  # the loop's next round begins it
    in_a_row: int = 0  # how many calls were driven by their awaiters
    children: set[Any] = field(default_factory=set)  # futures of calls that were handed to a pool or a loop
    unheard: list[tuple[str, Heard, BaseException]] = field(default_factory=list)  # errors that nobody asked for yet
    # Memories that wait for the task's record; None once they are committed with it, or never will be.
    writes: list[tuple[BaseStore, list[PreparedWrite]]] | None = field(default_factory=list)
    is_recorded: bool = False  # or, where nothing is, it has ended well
    deadlines: Deadlines | None = None
    made: int = 0  # how many calls
    is_cached: bool = False  # nothing ran: a cache gave the result
    entry: Entry | None = None  # where a cache is to keep the result

    def next_key(self, key_name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """Return the key of the next call that this body makes, from wherever it is made.

        Args:
            key_name: of what is called, escaped.
            args: passed by position.
            kwargs: passed by name.
        """
        counter = self.counter
        if counter is None:
            counter = self.counter = Counter(self.call.key)
        loop = self.loop
        if loop is None or asyncio._get_running_loop() is not loop:
            if get_ident() != self.home:
                job = self._job(threading.current_thread())
                return counter.next_key_of(job, key_name, partial(fingerprint, args, kwargs))
        elif (here := asyncio.current_task(loop)) is not self.home:
            return counter.next_key_of(here, key_name, partial(fingerprint, args, kwargs))
        # As Counter.next_key does, without a call of its own for each task.
        counter.counts[key_name] = number = counter.counts[key_name] + 1
        return f"{counter.path}{key_name}#{number}"

    def next_order(self) -> tuple[int, ...]:
        """Return what sorts the next call that this body makes among those of the run."""
        self.made += 1
        return (*self.call.order, self.made)

    def draw_id(self) -> str:
        """Return a fresh id in the form of a random UUID; a replay draws the same ones."""
        return drawn_id(self.call.execution.seed, self.next_key(DRAWN, (), {}))

    def on_loop(self) -> bool:
        """Whether the caller is on the event loop that runs this body, and so must not wait."""
        loop = self.loop
        return loop is not None and asyncio._get_running_loop() is loop

    def _job(self, here: threading.Thread) -> Any:
        """Return what stands for the job that an OS thread of a pool does now: each has a copy of the context."""
        job = _job.get()
        if job is None or job[0] is not self or job[1] is not here:
            job = (self, here, object())
            _job.set(job)
        return job[2]

    def pending(self, store: BaseStore) -> list[PreparedWrite]:
        """Return the memories that this attempt wrote to a store and that wait for the task's record."""
        return [write for written_to, writes in self.writes or () if written_to is store for write in writes]

    def arguments(self) -> Mapping[str, Any]:
        """Return the keyword arguments of the call, with what its function is injected."""
        call = self.call
        return call.callee.bound(call.args, call.kwargs, self._provide)

    def _provide(self, name: str) -> Any:
        scope = self.call.scope
        if name == "runtime":
            return Runtime.of(self)
        if name == "writer":
            return self.write
        if name == "previous" and not self.call.is_workflow:
            return None if scope.previous is UNSET else scope.previous
        return getattr(scope, name)

    def write(self, chunk: Any) -> None:
        """Write to the stream in the mode "custom"; nothing happens where nobody listens."""
        if self.deadlines is not None:
            self.shows_life()
        call = self.call
        if call.execution.emitter is not None:
            call.execution.emitter.write(call.scope.namespace, chunk)

    def say(self, message: Any, metadata: Mapping[str, Any] | None) -> None:
        """Show a message, or a part of one, in the mode "messages"; nothing happens where nobody listens."""
        self.shows_life()
        call = self.call
        if call.execution.emitter is not None:
            call.execution.emitter.said(call, message, metadata)

    def beat(self) -> None:
        """Show the idle limit of this attempt that it is alive."""
        self.shows_life(heartbeat=True)

    def shows_life(self, *, heartbeat: bool = False) -> None:
        """Refresh the idle limit of this attempt, if there is one that this refreshes."""
        if self.deadlines is not None:
            self.deadlines.refresh(time.monotonic(), heartbeat=heartbeat)
