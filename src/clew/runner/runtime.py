"""What a running function may ask of its run, in one object."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from clew.engine.unset import UNSET

if TYPE_CHECKING:
    from clew.runner.frame import Frame

ContextT = TypeVar("ContextT")


class ExecutionInfo(Struct, frozen=True, kw_only=True):
    """Which call this is.

    Args:
        thread_id: the thread, or None without a checkpointer.
        run_id: the run.
        task_id: the call: the same on every attempt and after every crash.
        checkpoint_id: the checkpoint at which the run began.
        checkpoint_ns: names the call within its run.
        node_attempt: which attempt this is, from 1.
        node_first_attempt_time: when the first attempt began, seconds since the epoch.
    """

    thread_id: str | None
    run_id: str
    task_id: str
    checkpoint_id: str
    checkpoint_ns: str
    node_attempt: int
    node_first_attempt_time: float


def _write_nowhere(chunk: Any) -> None:
    pass


def _beat_nowhere() -> None:
    pass


class Runtime(Struct, Generic[ContextT], frozen=True, kw_only=True):
    """What a running workflow or task may use.

    Args:
        context: what the caller gave as `context=`, as `context_schema` made it.
        store: the run's view of the store, or None.
        stream_writer: writes to the stream in the mode "custom".
        previous: what the last run on the thread saved, or None.
        execution_info: which call this is.
        heartbeat: call it to show an idle limit that the call is alive.
        idempotency_key: the same on every attempt and after every crash, for calls to systems outside.
        server_info: always None.
    """

    context: ContextT = None  # type: ignore[assignment]
    store: Any = None
    stream_writer: Callable[[Any], None] = _write_nowhere
    previous: Any = None
    execution_info: ExecutionInfo | None = None
    heartbeat: Callable[[], None] = _beat_nowhere
    idempotency_key: str = ""
    server_info: None = None

    def override(self, **changes: Any) -> Runtime[ContextT]:
        """Return a copy with some of its parts changed."""
        return replace(self, **changes)

    @classmethod
    def of(cls, frame: Frame) -> Runtime[Any]:
        """Return what the body of a frame may use."""
        call, scope = frame.call, frame.call.scope
        execution = call.execution
        return Runtime(
            context=scope.context,
            store=scope.store,
            stream_writer=frame.write,
            previous=None if scope.previous is UNSET else scope.previous,
            execution_info=ExecutionInfo(
                thread_id=execution.lease.thread.thread_id if execution.lease else None,
                run_id=execution.run_id,
                task_id=call.id,
                checkpoint_id=execution.checkpoint_id,
                checkpoint_ns=call.key,
                node_attempt=frame.attempt,
                node_first_attempt_time=frame.first_attempt_s,
            ),
            heartbeat=frame.beat,
            idempotency_key=call.id,
        )
