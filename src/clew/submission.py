"""`workflow.submit`: leaves a call for a worker, and gives a handle by which one sees what becomes of it."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from clew.errors import InvalidOption
from clew.late import late

if TYPE_CHECKING:
    from clew import configs
    from clew.engine import events, identity, questions, records
    from clew.engine.events import Wanted
    from clew.engine.questions import Command
    from clew.engine.records import Queued, ThreadKey
    from clew.options import Config, Modes
    from clew.runner import async_io, frame, io, launching, requests, submitting, sync_io
    from clew.runner.settings import Settings
    from clew.runner.submitting import CallOptions, HandleStatus, Reader, Ticket
    from clew.storage.base import Checkpointer
else:
    # A workflow that is only declared needs nothing that runs or submits it.
    late(globals(), "clew.configs")
    late(globals(), "clew.engine.events", "clew.engine.identity", "clew.engine.questions", "clew.engine.records")
    late(
        globals(), "clew.runner.async_io", "clew.runner.frame", "clew.runner.io", "clew.runner.launching",
        "clew.runner.requests", "clew.runner.submitting", "clew.runner.sync_io",
    )  # fmt: skip

InputT = TypeVar("InputT")

_PRIORITIES = 2**31


class Handle:
    """A submitted call. Awaiting it gives its result.

    Its verbs come in two colours: `status`, `result`, `cancel` and `stream` block; `astatus`, … are awaited.
    """

    def __init__(self, ticket: Ticket, wanted: Wanted | None) -> None:
        self._ticket = ticket
        self._wanted = wanted

    @property
    def id(self) -> str:
        """Names the call; for a call with an input also the run that it becomes. Text of 32 hexadecimal digits."""
        return self._ticket.id

    @property
    def thread_id(self) -> str:
        """The thread on which it is carried out."""
        return self._ticket.thread.thread_id

    def status(self) -> HandleStatus:
        """Say how it stands: queued, running, done, failed, interrupted or cancelled."""
        return io.run_blocking(submitting.status(sync_io.BLOCKING, self._ticket))

    async def astatus(self) -> HandleStatus:
        """Like `status`, for async code."""
        return await async_io.run_awaited(submitting.status(async_io.ON_LOOP, self._ticket))

    def result(self, timeout_s: float | None = None) -> Any:
        """Wait for a worker to carry it out, and return what `invoke` would return, questions included.

        Args:
            timeout_s: for how long, in seconds; None: for ever.

        Raises:
            TimeoutError: it has not ended in time; it goes on all the same.
            RunCancelled: it was cancelled, or given up for a newer input; or there is no such call.
            RunStopped: it was stopped by a newer input.
            Exception: whatever the workflow raised; a RecordedFailure where the class of that is not known here.
        """
        return launching.Output.of(io.run_blocking(submitting.result(sync_io.BLOCKING, self._ticket, timeout_s)), "v1")

    async def aresult(self, timeout_s: float | None = None) -> Any:
        """Like `result`, for async code."""
        result = await async_io.run_awaited(submitting.result(async_io.ON_LOOP, self._ticket, timeout_s))
        return launching.Output.of(result, "v1")

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.aresult().__await__()

    def cancel(self) -> bool:
        """Take it out of the queue, or ask its run to end; say whether either was possible.

        A running async task is cancelled, a blocking one ends first; then the run does.
        """
        return io.run_blocking(submitting.cancel(sync_io.BLOCKING, self._ticket))

    async def acancel(self) -> bool:
        """Like `cancel`, for async code."""
        return await async_io.run_awaited(submitting.cancel(async_io.ON_LOOP, self._ticket))

    def stream(self) -> Iterator[Any]:
        """Yield what happens in the run, wherever it is carried out, in the shape that `submit` was asked for.

        A run whose process dies goes on in another one, which may show some events again.

        Raises:
            ValueError: `submit` was not given a `stream_mode`.
            Exception: what `result` raises, after the last event.
        """
        want, reader = self._reader()
        try:
            while events := io.run_blocking(submitting.read_on(sync_io.BLOCKING, reader)):
                yield from map(want.shape, events)
        finally:
            reader.ear.close()

    async def astream(self) -> AsyncIterator[Any]:
        """Like `stream`, for async code."""
        want, reader = self._reader()
        try:
            while events := await submitting.read_on(async_io.ON_LOOP, reader):
                for event in events:
                    yield want.shape(event)
        finally:
            reader.ear.close()

    def _reader(self) -> tuple[Wanted, Reader]:
        if self._wanted is None:
            raise InvalidOption(f"no events of call {self.id} are kept; submit(..., stream_mode=...) keeps them")
        return self._wanted, submitting.Reader(self._ticket)

    def __repr__(self) -> str:
        return f"<call {self.id} of workflow {self._ticket.thread.workflow!r} on thread {self.thread_id!r}>"


class Submits(Generic[InputT]):
    """The part of a workflow that leaves calls for workers."""

    _settings: Settings
    _bound: Mapping[str, Any]

    def submit(
        self,
        input: InputT | Command | None,
        config: Config | None = None,
        *,
        run_key: str | None = None,
        priority: int = 0,
        delay_s: float = 0.0,
        context: Any = None,
        stream_mode: Modes | None = None,
        subgraphs: bool = False,
    ) -> Handle:
        """Leave a call for a worker and return at once; it is kept when this returns.

        Calls on one thread are carried out one after another, in the order in which they were submitted. Inside a
        running workflow or task, a call that is submitted again by a replay or a further attempt is the same call.

        Args:
            input: its input; `None` to continue the thread; a Command to answer its questions.
            config: names the thread; see RunnableConfig. It must be possible to keep it.
            run_key: a name of the call on its thread, such as "order-7": submitted twice, it is carried out once, and
                both handles are of the same call. Only for a call with an input.
            priority: of several threads with submitted calls, that with the larger one goes first.
            delay_s: not to be carried out before so many seconds have passed.
            context: as for `invoke`; kept as it is given.
            stream_mode: the events to keep for `handle.stream()`; None: none.
            subgraphs: whether these include the events of nested workflows.

        Raises:
            ValueError: no checkpointer, or no thread_id; or nothing to continue; or an option out of range; or the
                `run_key` of a call with another input.
            InvalidResume: an answer that no question waits for.
            NotRecordable: the input, the config or the context could not be kept.
        """
        want = None if stream_mode is None else events.wanted(stream_mode, subgraphs=subgraphs)
        options = self._call_options(config, context, want)
        saver, place = self._place(input, options, run_key, priority, delay_s)
        return Handle(io.run_blocking(submitting.submit(sync_io.BLOCKING, saver, input, options, place, run_key)), want)

    async def asubmit(
        self,
        input: InputT | Command | None,
        config: Config | None = None,
        *,
        run_key: str | None = None,
        priority: int = 0,
        delay_s: float = 0.0,
        context: Any = None,
        stream_mode: Modes | None = None,
        subgraphs: bool = False,
    ) -> Handle:
        """Like `submit`, for async code."""
        want = None if stream_mode is None else events.wanted(stream_mode, subgraphs=subgraphs)
        options = self._call_options(config, context, want)
        saver, place = self._place(input, options, run_key, priority, delay_s)
        procedure = submitting.submit(async_io.ON_LOOP, saver, input, options, place, run_key)
        return Handle(await async_io.run_awaited(procedure), want)

    def submitted(self, id: str, config: Config) -> Handle:
        """Return the handle of a call with an input that was submitted before, perhaps by another process.

        Args:
            id: the handle's `id`.
            config: names its thread.

        Raises:
            ValueError: no checkpointer, or no thread_id.
        """
        if not isinstance(id, str):
            raise InvalidOption(f"id must be that of a handle, a text, and not {id!r}")
        saver, thread = self._kept_on(configs.merged(self._bound, configs.checked(config)))
        return Handle(submitting.Ticket(saver=saver, thread=thread, id=id, run_id=id), None)

    def _call_options(self, config: Config | None, context: Any, want: Wanted | None) -> CallOptions:
        full = configs.merged(self._bound, configs.checked(config))
        if (full.get("configurable") or {}).get("checkpoint_id") is not None:
            raise InvalidOption("a submitted call goes on where its thread is then; fork with invoke or update_state")
        return submitting.CallOptions(config=full, context=context, wanted=want)

    def _place(
        self, input: Any, options: CallOptions, run_key: str | None, priority: int, delay_s: float
    ) -> tuple[Checkpointer, Queued]:
        if not (isinstance(delay_s, int | float) and math.isfinite(delay_s) and delay_s >= 0):
            raise InvalidOption(f"delay_s must be 0 or more seconds, not {delay_s!r}")
        if type(priority) is not int or abs(priority) >= _PRIORITIES:
            raise InvalidOption(f"priority must be a whole number between -2**31 and 2**31, not {priority!r}")
        if run_key is not None and (input is None or isinstance(input, questions.Command)):
            raise InvalidOption("run_key names a call with an input; Command(resume={id: answer}) answers once anyway")
        saver, thread = self._kept_on(options.config)
        now_s = time.time()
        due_s = now_s + delay_s if delay_s else 0.0
        place = records.Queued(id=_id(thread, run_key), thread=thread, priority=priority, due_s=due_s, created_s=now_s)
        return saver, place

    def _kept_on(self, config: Mapping[str, Any]) -> tuple[Checkpointer, ThreadKey]:
        saver = self._settings.kept_by
        if saver is None:
            raise InvalidOption(f"workflow {self._settings.callee.name!r} has no checkpointer, so nothing can be left")
        return saver, requests.thread_of(self._settings, config)


def _id(thread: ThreadKey, run_key: str | None) -> str:
    if run_key is not None:
        return identity.keyed_run_id(thread, run_key)
    caller = frame.current.get()
    # Drawn inside a run, so that a replay submits the same call and not another one.
    return uuid.uuid4().hex if caller is None else caller.draw_id().replace("-", "")
