"""What a running workflow or task may ask for. Outside of one, each of these raises NotInWorkflow (a RuntimeError)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from clew.errors import InvalidOption, NotInWorkflow, WouldWait
from clew.late import late

if TYPE_CHECKING:
    from clew.runner import async_io, frame, io, procedures, runtime, sync_io
    from clew.runner.runtime import Runtime
    from clew.store.base import BaseStore
else:
    late(globals(), "clew.runner.async_io", "clew.runner.frame", "clew.runner.io")
    late(globals(), "clew.runner.procedures", "clew.runner.runtime", "clew.runner.sync_io")

ContextT = TypeVar("ContextT")
StreamWriter = Callable[[Any], None]


def interrupt(value: Any, *, timeout_s: float | None = None, default: Any = None) -> Any:
    """Ask a question, and stop until it is answered.

    The first time the run ends here and gives the question to its caller; `Command(resume=answer)` runs the workflow
    again, and this call returns the answer.

    Args:
        value: what is asked: anything that can be recorded.
        timeout_s: seconds after which `default` is the answer, once the thread is run again; None: never.
        default: see `timeout_s`.

    Returns:
        The answer.

    Raises:
        NotInWorkflow: nothing runs here.
        NotRecordable: the question could not be read back.
        ReplayMismatch: the answer that was kept is to another question.
        InvalidOption: the time is no number of seconds, or below 0.
    """
    if timeout_s is not None:
        _check_seconds(timeout_s, "timeout_s", least=0)
    return procedures.ask(frame.running(), value, timeout_s, default)


def sleep(seconds: float) -> None:
    """Wait in a blocking workflow or task. A run that was stopped meanwhile waits only for the rest.

    Args:
        seconds: for how long.

    Raises:
        NotInWorkflow: nothing runs here.
        WouldWait: called on an event loop; use `asleep`.
        InvalidOption: the time is no number of seconds.
    """
    _check_seconds(seconds, "a time to sleep")
    caller = frame.running()
    if caller.on_loop():
        raise WouldWait("clew.sleep would hold up the event loop; use `await clew.asleep(seconds)`")
    io.run_blocking(procedures.pause(sync_io.BLOCKING, caller, seconds))


async def asleep(seconds: float) -> None:
    """Wait in an async workflow or task. A run that was stopped meanwhile waits only for the rest.

    Args:
        seconds: for how long.

    Raises:
        NotInWorkflow: nothing runs here.
        InvalidOption: the time is no number of seconds.
    """
    _check_seconds(seconds, "a time to sleep")
    await procedures.pause(async_io.ON_LOOP, frame.running(), seconds)


def _check_seconds(given: Any, name: str, *, least: float = -math.inf) -> None:
    if isinstance(given, bool) or not isinstance(given, int | float) or not least <= given < math.inf:
        least_of_all = "" if least == -math.inf else f", {least} or more"
        raise InvalidOption(f"{name} is a number of seconds{least_of_all}, not {given!r}")


def get_store() -> BaseStore:
    """Return the run's view of the store.

    Raises:
        NotInWorkflow: nothing runs here, or its entrypoint was given no store.
    """
    store = frame.running().call.scope.store
    if store is None:
        raise NotInWorkflow("no store was configured: pass store=... (or database=...) to the entrypoint")
    return store


def get_config() -> dict[str, Any]:
    """Return the config of the run.

    Raises:
        NotInWorkflow: nothing runs here.
    """
    return frame.running().call.scope.config


def get_stream_writer() -> StreamWriter:
    """Return the function that writes to the stream in the mode "custom".

    Raises:
        NotInWorkflow: nothing runs here.
    """
    return frame.running().write


def show_life() -> None:
    """Refresh the limit on the running call's silence, as a write to its stream does; nothing happens outside a run."""
    caller = frame.current.get()
    if caller is not None:
        caller.shows_life()


def stream_message(chunk: Any, metadata: Mapping[str, Any] | None = None) -> None:
    """Show what a model says in the stream mode "messages": its tokens as they come, or whole messages.

    The metadata hold a `message_id`, the same for all pieces of a message: the id that the chunk tells, else that of
    the piece before it in this call, else the call's own. The whole message is not shown again when it is returned.

    Args:
        chunk: any object: a piece of text, a dict, an event of a client such as OpenAI's or Anthropic's.
        metadata: added to what tells which call and run it comes from.

    Raises:
        NotInWorkflow: nothing runs here.
    """
    frame.running().say(chunk, metadata)


@overload
def get_runtime() -> Runtime[Any]: ...
@overload
def get_runtime(context_schema: type[ContextT]) -> Runtime[ContextT]: ...
def get_runtime(context_schema: type[Any] | None = None) -> Runtime[Any]:
    """Return the runtime of the running call.

    Args:
        context_schema: the type of its context, for type checkers.

    Raises:
        NotInWorkflow: nothing runs here.
    """
    return runtime.Runtime.of(frame.running())
