"""Starts a call in the colour of its function, from code of either colour."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from clew.engine.unset import UNSET
from clew.errors import WouldWait
from clew.late import late
from clew.runner import futures, pools
from clew.runner.callee import Callee
from clew.runner.frame import Call, Frame, Scope
from clew.runner.futures import Finished, Future
from clew.runner.io import run_blocking
from clew.runner.procedures import recalled, run_call, show_replayed
from clew.runner.sync_io import BLOCKING

if TYPE_CHECKING:
    import asyncio

    from clew.runner import async_io, loop_futures
else:
    late(globals(), "asyncio", "clew.runner.async_io", "clew.runner.loop_futures")


#: The loop that waits for the blocking code that runs here, and so can run nothing for it.
held_up: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("clew_held_up", default=None)


def start_call(
    frame: Frame, callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any], scope: Scope | None = None
) -> Any:
    """Start a call made by a running body, and return its future.

    Args:
        frame: the body.
        callee: what is called.
        args: passed by position.
        kwargs: passed by name.
        scope: of a nested workflow; a task has that of its caller.
    """
    execution = frame.call.execution
    if execution.stopped is not None:
        execution.check_stopped()
    if frame.deadlines is not None:
        frame.shows_life()
    key = frame.next_key(callee.key_name, args, kwargs)
    frame.made += 1
    journal = execution.journal
    found = None if journal is None or key not in journal.records else recalled(execution, journal, key, args, kwargs)
    if found is not None and execution.emitter is None:  # nobody has to be shown the call
        return Finished(found[0]) if frame.loop is None else _known(frame, found[0])
    call = Call(execution, callee, key, args, kwargs, frame, scope or frame.call.scope, frame.made)
    if scope is not None:
        scope.namespace = (*frame.call.scope.namespace, f"{callee.name}:{call.id}")
        call.place = frame.call.place  # it takes none of its own: the calls below it share that of the call above it
    if found is not None:
        show_replayed(call, found[0])
        return _known(frame, found[0])
    if frame.loop is not None and asyncio._get_running_loop() is frame.loop:
        return _from_loop(call)
    if callee.is_async:
        return _to_loop(call)
    if execution.places is not None and scope is None:
        return _placed_from_thread(call)
    return futures.remember(call, run_call)


def call_alone(callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Call a task's function outside any run, and give a finished future; nothing is recorded.

    An async function called on a running event loop gives a future that is finished once it is awaited.
    """
    arguments = callee.bound(args, kwargs, _nothing)
    if not callee.is_async:
        return _finished(lambda: callee.function(*args, **arguments))
    if asyncio._get_running_loop() is not None:
        return asyncio.ensure_future(callee.function(*args, **arguments))
    return _finished(lambda: asyncio.run(callee.function(*args, **arguments)))


def _nothing(name: str) -> Any:
    return {"config": {"configurable": {}, "metadata": {}}, "writer": lambda chunk: None}.get(name, UNSET)


def _finished(work: Callable[[], Any]) -> Finished[Any]:
    try:
        return Finished(work())
    except Exception as error:
        return Finished(error=error)


def _known(frame: Frame, value: Any) -> Any:
    """Return the future of a recorded call: nothing has to run, and nobody has to wait."""
    if not frame.on_loop():
        return Finished(value)
    future = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


def _placed_from_thread(call: Call) -> Future[Any]:
    """A blocking task called by blocking code that may have only so many calls under way."""
    future: Future[Any] = Future(call, copy_context(), run_call)
    futures.hold(future)
    start = partial(futures.let_go, future)
    now = _request_place(call, start)
    future.add_done_callback(lambda _: _release_place(call))
    if now:
        start()
    return future


def _to_loop(call: Call) -> Future[Any]:
    """An async task called by blocking code."""
    loop = call.execution.loop or pools.background_loop()
    if loop in (asyncio._get_running_loop(), held_up.get()):
        raise WouldWait(
            f"async task {call.callee.name!r} was called by blocking code that its event loop waits for; use ainvoke"
        )
    future: Future[Any] = Future(call, copy_context(), run_call)
    assert call.parent is not None
    call.parent.children.add(future)
    future.add_done_callback(call.parent.children.discard)

    work: list[asyncio.Task[Any]] = []

    def launch() -> None:
        if future.set_running_or_notify_cancel():
            work.append(loop.create_task(_on_own_loop(call, loop)))
            call.execution.on_loop.add(work[0])
            work[0].add_done_callback(call.execution.on_loop.discard)
            work[0].add_done_callback(partial(futures.transfer, future))

    def stop() -> None:  # on the loop, where the launch has ended by then
        for running in work:
            running.cancel()

    future.stop = partial(loop.call_soon_threadsafe, stop)
    loop.call_soon_threadsafe(launch, context=copy_context())
    return future


def _from_loop(call: Call) -> loop_futures.LoopFuture[Any]:
    """Any task called by async code."""
    if call.callee.is_async and call.execution.places is None:
        return loop_futures.on_loop(call, run_call(async_io.ON_LOOP, call))
    loop = asyncio.get_running_loop()
    if call.callee.is_async:
        return loop_futures.on_loop(call, _on_own_loop(call, loop))
    return loop_futures.on_loop(call, _with_place(call, loop, partial(_on_pool, call, loop)), on_pool=True)


def _on_own_loop(call: Call, loop: asyncio.AbstractEventLoop) -> Coroutine[Any, Any, Any]:
    return _with_place(call, loop, lambda: run_call(async_io.ON_LOOP, call))


def _with_place(
    call: Call, loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, Any]]
) -> Coroutine[Any, Any, Any]:
    if call.execution.places is None or call.is_workflow:
        return work()
    return _wait_for_place(call, loop, work)


async def _wait_for_place(
    call: Call, loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, Any]]
) -> Any:
    granted = asyncio.Event()
    if _request_place(call, lambda: loop.call_soon_threadsafe(granted.set)):
        granted.set()
    try:
        await granted.wait()
        return await work()
    finally:
        _release_place(call)


async def _on_pool(call: Call, loop: asyncio.AbstractEventLoop) -> Any:
    context = copy_context()
    return await loop.run_in_executor(pools.tasks(), lambda: context.run(run_blocking, run_call(BLOCKING, call)))


def _request_place(call: Call, start: Callable[[], Any]) -> bool:
    """Ask for the right to be under way; say whether it was given at once, else `start` is called later."""
    execution, parent = call.execution, call.parent
    assert execution.places is not None
    assert parent is not None
    with execution.lock:
        call.place, now = execution.places.request(parent.call.place, start)
    return now


def _release_place(call: Call) -> None:
    assert call.place is not None
    with call.execution.lock:
        start = call.place.release()
    if start is not None:
        start()
