"""Starts a run from code of either colour, outermost or inside another run."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, wait
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from clew.engine.events import Wanted
from clew.engine.questions import Command, Interrupt
from clew.engine.records import ThreadKey
from clew.errors import InvalidOption, InvalidResume, UsageError
from clew.late import late
from clew.runner import pools
from clew.runner.bridge import held_up, start_call
from clew.runner.channels import Channel
from clew.runner.execution import Result
from clew.runner.frame import Frame, Scope, current
from clew.runner.io import run_blocking
from clew.runner.requests import Request
from clew.runner.saved import NOTHING
from clew.runner.settings import Settings
from clew.runner.streams import Emitter
from clew.runner.sync_io import BLOCKING
from clew.runner.workflows import run_workflow

if TYPE_CHECKING:
    import asyncio

    from clew.runner import async_io, memory
else:
    late(globals(), "asyncio", "clew.runner.async_io", "clew.runner.memory")

T = TypeVar("T")

log = logging.getLogger("clew.runs")


class Output(Struct, Generic[T], frozen=True, kw_only=True):
    """What `invoke(..., version="v2")` returns.

    Args:
        value: what the workflow returned; None if it stopped at questions.
        interrupts: the questions that wait.
    """

    value: T | None = None
    interrupts: tuple[Interrupt, ...] = ()

    @classmethod
    def of(cls, result: Result, version: str) -> Any:
        """Shape a result as its caller asked for it."""
        if version == "v2":
            return cls(value=result.value, interrupts=result.interrupts)
        return {"__interrupt__": list(result.interrupts)} if result.interrupted else result.value


def invoke(settings: Settings, request: Request) -> Result:
    """Run a workflow for blocking code."""
    frame = _outer(settings)
    if frame is not None:
        if not frame.on_loop():
            return Result(value=_nested(frame, settings, request).result())
        if settings.callee.is_async:
            name = settings.callee.name
            raise UsageError(f"workflow {name!r} is async, and so is what calls it: await {name}.ainvoke(...) there")
        return _aside(lambda: invoke(settings, request)).result()
    if not settings.callee.is_async:
        return copy_context().run(run_blocking, run_workflow(BLOCKING, settings, request))
    return _on_some_loop(run_workflow(async_io.ON_LOOP, settings, request))


def ainvoke(settings: Settings, request: Request) -> Awaitable[Result]:
    """Run a workflow for async code."""
    frame = _outer(settings)
    return async_io.run_awaited(_run_async(settings, request)) if frame is None else _anested(frame, settings, request)


def stream(settings: Settings, request: Request, wanted: Wanted, *, detach: bool) -> Iterator[Any]:
    """Run a workflow on a pool and yield its events to blocking code."""
    _refuse_nested()
    channel = Channel()
    request = replace(request, emitter=Emitter(channel, wanted))

    def events() -> Iterator[Any]:
        run = pools.workflows().submit(copy_context().run, _run_to_channel, settings, request, channel)
        try:
            while taken := channel.take():
                for event in taken:
                    yield wanted.shape(event)
            run.result()
        finally:
            channel.close()
            if not (run.done() or detach):
                request.reins.stop("its stream was closed")

    return events()


async def astream(settings: Settings, request: Request, wanted: Wanted, *, detach: bool) -> AsyncIterator[Any]:
    """Run a workflow and yield its events to async code."""
    _refuse_nested()
    loop = asyncio.get_running_loop()
    channel = Channel()
    request = replace(request, emitter=Emitter(channel, wanted), loop=loop)
    run = loop.create_task(_run_async(settings, request))
    run.add_done_callback(lambda _: channel.end())
    try:
        await asyncio.sleep(0)  # the run takes its first steps meanwhile, and there may be events already
        while taken := await channel.atake():
            for event in taken:
                yield wanted.shape(event)
        await run
    finally:
        channel.close()
        if not run.done():
            await _leave(run, request, detach=detach)


def side_by_side(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make blocking calls at once; once all have ended, return what they return, in order."""
    running = [_aside(call) for call in calls]
    wait(running)
    return [future.result() for future in running]


async def aside_by_side(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Make async calls at once and return what they return, in order."""
    return list(await asyncio.gather(*calls))


def or_error(call: Callable[[], T]) -> T | Exception:
    """Make a blocking call, and return the exception that it raises, if any."""
    try:
        return call()
    except Exception as error:
        return error


async def aor_error(call: Coroutine[Any, Any, T]) -> T | Exception:
    """Like `or_error`, for an async call."""
    try:
        return await call
    except Exception as error:
        return error


def _aside(call: Callable[[], T]) -> Future[T]:
    """Make a blocking call on another OS thread, wherever the caller waits for it."""
    context, frame = copy_context(), current.get()
    if frame is not None and frame.on_loop():
        context.run(held_up.set, frame.loop)
    return pools.workflows().submit(context.run, call)


async def _leave(run: asyncio.Task[Result], request: Request, *, detach: bool) -> None:
    if detach:
        _detached.add(run)  # the loop itself holds tasks only weakly
        run.add_done_callback(_forget)
        return
    request.reins.stop("its stream was closed")
    run.cancel()
    await asyncio.wait([run])
    _forget(run)


def _forget(run: asyncio.Task[Result]) -> None:
    """Drop a run that nobody waits for; how it failed is kept on its thread."""
    _detached.discard(run)
    if not run.cancelled() and (error := run.exception()) is not None:
        log.warning("a run failed after its stream was closed: %r", error)


_detached: set[asyncio.Task[Result]] = set()


def _run_to_channel(settings: Settings, request: Request, channel: Channel) -> None:
    try:
        if settings.callee.is_async:
            asyncio.run(run_workflow(async_io.ON_LOOP, settings, request))
        else:
            run_blocking(run_workflow(BLOCKING, settings, request))
    finally:
        channel.end()


async def _anested(frame: Frame, settings: Settings, request: Request) -> Result:
    return Result(value=await _nested(frame, settings, request))


def _run_async(settings: Settings, request: Request) -> Coroutine[Any, Any, Result]:
    is_async = settings.callee.is_async
    return run_workflow(async_io.ON_LOOP, settings, request) if is_async else _run_elsewhere(settings, request)


async def _run_elsewhere(settings: Settings, request: Request) -> Result:
    """Run a blocking workflow for async code, on an OS thread."""
    loop = asyncio.get_running_loop()
    request = replace(request, loop=loop)
    context = copy_context()
    run = loop.run_in_executor(pools.workflows(), lambda: context.run(_run_here, settings, request))
    try:
        return await run
    except asyncio.CancelledError:
        request.reins.cancel("its caller was cancelled")
        raise


def _run_here(settings: Settings, request: Request) -> Result:
    return run_blocking(run_workflow(BLOCKING, settings, request))


def _on_some_loop(run: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine for blocking code: on a loop of its own, or in a notebook on the background loop."""
    if asyncio._get_running_loop() is None:
        return asyncio.run(run)
    return asyncio.run_coroutine_threadsafe(run, pools.background_loop()).result()


def _outer(settings: Settings) -> Frame | None:
    """Return the body inside which a workflow is called, if the call belongs to its run.

    A workflow with a checkpointer of its own, called inside a run that is kept nowhere, is a run by itself.
    """
    frame = current.get()
    if frame is None or (settings.kept_by is not None and frame.call.execution.saver is None):
        return None
    return frame


def _refuse_nested() -> None:
    if current.get() is not None:
        raise UsageError(
            "stream() inside a running workflow: call invoke() there, and stream the outermost workflow with "
            "subgraphs=True"
        )


def _nested(frame: Frame, settings: Settings, request: Request) -> Any:
    if request.run_key is not None:
        raise InvalidOption("run_key inside a running workflow: what it calls is recorded there, and not run twice")
    if isinstance(request.input, Command):
        raise InvalidResume("a nested workflow is resumed through the outermost one, with its thread_id")
    outer = frame.call.scope
    scope = Scope(
        workflow=settings.callee.name,
        config=_handed_down(outer.config, request.config),
        context=outer.context if request.context is None else request.context,
        store=outer.store if settings.store is None else memory.RunStore(settings.store),
        previous=NOTHING,
        remembers_on=_own_thread(frame, settings, request),
    )
    return start_call(frame, settings.callee, (request.input,), {}, scope)


def _own_thread(frame: Frame, settings: Settings, request: Request) -> ThreadKey | None:
    """Return the thread on which a nested workflow remembers: not the one that the run itself is on."""
    lease = frame.call.execution.lease
    if lease is None or not settings.saver:
        return None
    thread_id = (request.config.get("configurable") or {}).get("thread_id", lease.thread.thread_id)
    thread = ThreadKey(str(thread_id), settings.callee.name)
    return None if thread == lease.thread else thread


def _handed_down(outer: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    configurable = {**(outer.get("configurable") or {}), **(own.get("configurable") or {})}
    return {**outer, **own, "configurable": configurable}
