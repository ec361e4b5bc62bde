"""A workflow, and everything one may do with it: run it, stream it, look at its threads, set their values."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Unpack, overload

from msgspec.structs import replace

from clew.errors import InvalidOption
from clew.late import late
from clew.listening import listener
from clew.options import checked_key, checked_on_conflict, detaches, each
from clew.states import ShowsStates
from clew.submission import Submits

if TYPE_CHECKING:
    from clew import configs
    from clew.engine import events
    from clew.engine.events import Wanted
    from clew.engine.questions import Command
    from clew.options import Config, Modes, OnClose, RunOptions
    from clew.runner import launching, requests
    from clew.runner.execution import Durability
    from clew.runner.launching import Output
    from clew.runner.requests import Request
    from clew.runner.settings import Settings
    from clew.runner.waiting import OnConflict
    from clew.storage.base import Checkpointer
    from clew.store.base import BaseStore
else:
    # A workflow that is only declared needs nothing that runs it.
    late(globals(), "clew.configs", "clew.engine.events", "clew.runner.launching", "clew.runner.requests")

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


class Workflow(Submits[InputT], ShowsStates, Generic[InputT, OutputT]):
    """A function marked `@entrypoint`.

    Its verbs come in two colours: `invoke`, `stream`, `submit`, … block; `ainvoke`, `astream`, `asubmit`, … are
    awaited. Either works for blocking and for async functions.
    """

    def __init__(
        self,
        settings: Settings,
        context_schema: type[Any] | None = None,
        bound: Mapping[str, Any] | None = None,
    ) -> None:
        self._settings = settings
        self._context_schema = context_schema
        self._bound: Mapping[str, Any] = bound or {}
        self.__wrapped__ = settings.callee.function
        self.__doc__ = settings.callee.function.__doc__
        self.name = self.__name__ = settings.callee.name

    def __get__(self, instance: object, owner: type | None = None) -> Workflow[Any, OutputT]:
        """Bind a method: `@entrypoint` may stand on one."""
        callee = self._settings.callee.bind(instance, owner)
        if callee is self._settings.callee:
            return self
        return Workflow(replace(self._settings, callee=callee), self._context_schema, self._bound)

    @property
    def checkpointer(self) -> Checkpointer | None:
        """Where its threads are kept."""
        return self._settings.kept_by

    @property
    def store(self) -> BaseStore | None:
        """Its long-term memory."""
        return self._settings.store

    def with_config(self, config: Config | None = None, **parts: Any) -> Workflow[InputT, OutputT]:
        """Return the same workflow with a config, or parts of one, bound to it; that of a call is merged into it."""
        bound = configs.merged(configs.merged(self._bound, configs.checked(config)), parts)
        return Workflow(self._settings, self._context_schema, bound)

    @overload
    def invoke(
        self,
        input: InputT | Command | None,
        config: Config | None = None,
        *,
        version: Literal["v2"],
        **options: Unpack[RunOptions],
    ) -> Output[OutputT]: ...
    @overload
    def invoke(
        self,
        input: InputT | Command | None,
        config: Config | None = None,
        *,
        stream_mode: Modes | None = None,
        version: Literal["v1", "v2"] = "v1",
        **options: Unpack[RunOptions],
    ) -> Any: ...
    def invoke(
        self,
        input: InputT | Command | None,
        config: Config | None = None,
        *,
        context: Any = None,
        stream_mode: Modes | None = None,
        durability: Durability | None = None,
        on_conflict: OnConflict | None = None,
        run_key: str | None = None,
        version: Literal["v1", "v2"] = "v1",
        debug: bool | None = None,
    ) -> Any:
        """Run the workflow to its end, or to its next question.

        Args:
            input: its input; `None` to continue the thread; a Command to answer its questions.
            config: names the thread: {"configurable": {"thread_id": ...}}; see RunnableConfig.
            context: what `runtime.context` is; a dict is turned into the entrypoint's `context_schema`.
            stream_mode: makes the call return the list of a stream's chunks instead, unless it is "values".
            durability: when outcomes are kept: "sync", before the caller sees them; "async", soon after; "exit", when
                the run ends, is interrupted or fails.
            on_conflict: what a new input does while another run has the thread: "queue", "reject", "interrupt" or
                "rollback"; see `entrypoint`, whose option it replaces for this call.
            run_key: the caller's name for the run. A call with the same name, thread and input runs nothing twice: it
                gives the kept value or questions of the run, waits for it, or goes on with it where it failed or was
                stopped.
            version: "v2" returns an Output with `value` and `interrupts`.
            debug: accepted for those who pass it; nothing depends on it.

        Returns:
            The value, or {"__interrupt__": [Interrupt, ...]} if the run stopped at questions.

        Raises:
            ValueError: a checkpointer and no thread_id; or nothing to continue.
            InvalidResume: an answer that no question waits for.
            ThreadBusy: other runs came first, and were not to be waited for, or for too long.
            RunStopped: the run was stopped because somebody asked, such as a newer input.
            InvalidOption: a `run_key` that was given with another input, or without a checkpointer.
            RecordedFailure: the run of that `run_key` failed, and newer ones have begun since.
            ReplayMismatch: the code no longer makes the calls that were recorded.
            StorageError: what has to be kept could not be.
            Exception: whatever the workflow raises.
        """
        if stream_mode not in (None, "values"):
            return list(
                self.stream(
                    input,
                    config,
                    context=context,
                    stream_mode=stream_mode,
                    durability=durability,
                    on_conflict=on_conflict,
                    run_key=run_key,
                    version=version,
                )
            )
        events.check_version(version)
        request = self._request(input, config, context, durability, on_conflict, run_key)
        result = launching.invoke(self._settings, request)
        return launching.Output.of(result, version)

    @overload
    async def ainvoke(
        self,
        input: InputT | Command | None,
        config: Config | None = None,
        *,
        version: Literal["v2"],
        **options: Unpack[RunOptions],
    ) -> Output[OutputT]: ...
    @overload
    async def ainvoke(
        self,
        input: InputT | Command | None,
        config: Config | None = None,
        *,
        stream_mode: Modes | None = None,
        version: Literal["v1", "v2"] = "v1",
        **options: Unpack[RunOptions],
    ) -> Any: ...
    async def ainvoke(
        self,
        input: InputT | Command | None,
        config: Config | None = None,
        *,
        context: Any = None,
        stream_mode: Modes | None = None,
        durability: Durability | None = None,
        on_conflict: OnConflict | None = None,
        run_key: str | None = None,
        version: Literal["v1", "v2"] = "v1",
        debug: bool | None = None,
    ) -> Any:
        """Like `invoke`, for async code. Cancelling it cancels the running async tasks."""
        if stream_mode not in (None, "values"):
            chunks = self.astream(
                input, config, context=context, stream_mode=stream_mode, durability=durability,
                on_conflict=on_conflict, run_key=run_key, version=version,
            )  # fmt: skip
            return [chunk async for chunk in chunks]
        events.check_version(version)
        request = self._request(input, config, context, durability, on_conflict, run_key)
        result = await launching.ainvoke(self._settings, request)
        return launching.Output.of(result, version)

    def stream(
        self,
        input: InputT | Command | None,
        config: Config | None = None,
        *,
        context: Any = None,
        stream_mode: Modes | None = None,
        durability: Durability | None = None,
        on_conflict: OnConflict | None = None,
        run_key: str | None = None,
        subgraphs: bool = False,
        version: Literal["v1", "v2"] = "v1",
        on_close: OnClose = "stop",
        debug: bool | None = None,
    ) -> Iterator[Any]:
        """Run the workflow and yield what happens, while it happens.

        Args:
            input: as for `invoke`.
            config: as for `invoke`.
            context: as for `invoke`.
            stream_mode: one of "values", "updates" (the default), "custom", "messages", "tasks", "checkpoints",
                "debug", or a list of them.
            durability: as for `invoke`.
            on_conflict: as for `invoke`.
            run_key: as for `invoke`.
            subgraphs: whether events of nested workflows are wanted; every chunk then comes with its namespace.
            version: "v2" makes every chunk a dict with "type", "ns" and "data".
            on_close: what becomes of the run when the reader stops early: "stop" it at its next call of a task, or
                "detach" from it and let it go on.
            debug: accepted for those who pass it; nothing depends on it.

        Yields:
            Chunks; with a list of modes (mode, chunk); with subgraphs (namespace, chunk) or (namespace, mode, chunk).

        Raises:
            UsageError: a mode that there is not; or called inside a running workflow.
            Exception: what `invoke` raises, after the chunks that came before it.
        """
        want = events.wanted(stream_mode, subgraphs=subgraphs, version=version)
        request = self._request(input, config, context, durability, on_conflict, run_key, want)
        return launching.stream(self._settings, request, want, detach=detaches(on_close))

    def astream(
        self,
        input: InputT | Command | None,
        config: Config | None = None,
        *,
        context: Any = None,
        stream_mode: Modes | None = None,
        durability: Durability | None = None,
        on_conflict: OnConflict | None = None,
        run_key: str | None = None,
        subgraphs: bool = False,
        version: Literal["v1", "v2"] = "v1",
        on_close: OnClose = "stop",
        debug: bool | None = None,
    ) -> AsyncIterator[Any]:
        """Like `stream`, for async code. Closing it early cancels the running async tasks, unless it detaches."""
        want = events.wanted(stream_mode, subgraphs=subgraphs, version=version)
        request = self._request(input, config, context, durability, on_conflict, run_key, want)
        return launching.astream(self._settings, request, want, detach=detaches(on_close))

    def batch(
        self,
        inputs: Sequence[InputT],
        config: Config | Sequence[Config] | None = None,
        *,
        return_exceptions: bool = False,
        **options: Any,
    ) -> list[Any]:
        """Run the workflow once for each input, side by side, and return the values in order.

        Args:
            inputs: the inputs.
            config: one for all, or one for each.
            return_exceptions: give the exception of a run that failed in place of its value, and do not raise it.
            options: as for `invoke`.
        """
        calls = zip(inputs, each(config, len(inputs)), strict=True)
        runs = [functools.partial(self.invoke, input, config, **options) for input, config in calls]
        if return_exceptions:
            return launching.side_by_side([functools.partial(launching.or_error, run) for run in runs])
        return launching.side_by_side(runs)

    async def abatch(
        self,
        inputs: Sequence[InputT],
        config: Config | Sequence[Config] | None = None,
        *,
        return_exceptions: bool = False,
        **options: Any,
    ) -> list[Any]:
        """Like `batch`, for async code."""
        calls = zip(inputs, each(config, len(inputs)), strict=True)
        runs = [self.ainvoke(input, config, **options) for input, config in calls]
        if return_exceptions:
            return await launching.aside_by_side([launching.aor_error(run) for run in runs])
        return await launching.aside_by_side(runs)

    def __repr__(self) -> str:
        return f"<workflow {self.name!r}>"

    def _request(
        self,
        input: Any,
        config: Config | None,
        context: Any,
        durability: Durability | None,
        on_conflict: OnConflict | None,
        run_key: str | None,
        want: Wanted | None = None,
    ) -> Request:
        if durability not in (None, "sync", "async", "exit"):
            raise InvalidOption(f"durability must be 'sync', 'async' or 'exit', not {durability!r}")
        merged = configs.merged(self._bound, configs.checked(config))
        return requests.Request(
            input=input,
            config=merged,
            context=configs.context_for(self._context_schema, context),
            durability=durability or "sync",
            listen=listener(merged, want),
            on_conflict=None if on_conflict is None else checked_on_conflict(on_conflict),
            run_key=checked_key(run_key),
        )
