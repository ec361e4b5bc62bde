"""What a run is asked for: one call of a workflow, and the reins that stop it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from clew.engine.records import ThreadKey
from clew.errors import NoThreadId, UsageError
from clew.runner.execution import Durability, Execution, Stopped
from clew.runner.publishing import Publisher
from clew.runner.settings import Settings
from clew.runner.streams import Emitter
from clew.runner.waiting import OnConflict
from clew.storage.base import Asked

if TYPE_CHECKING:
    import asyncio


_NOTHING = nullcontext()


class Reins:
    """Lets a caller stop a run, also one that has not begun yet."""

    def __init__(self) -> None:
        self._execution: Execution | None = None
        self._why: str | None = None
        self._told: Asked | None = None
        self.hands_over = False

    def hold(self, execution: Execution) -> None:
        """Take note of the execution, once there is one."""
        self._execution = execution
        execution.hands_over = self.hands_over
        if self._why is not None:
            execution.stop(self._why)
        if self._told is not None:
            execution.tell(self._told)

    def tell(self, what: Asked) -> None:
        """Stop the run because somebody asked; one that has not begun is kept all the same, and stops then."""
        self._told = what
        if self._execution is not None:
            self._execution.tell(what)

    def check(self) -> None:
        """Raise Stopped if the run was stopped before it began."""
        if self._why is not None:
            raise Stopped(self._why)

    @property
    def run_id(self) -> str | None:
        """The run, once there is one."""
        return None if self._execution is None else self._execution.run_id

    def stop(self, why: str) -> None:
        """End the run at its next call of a task."""
        self._why = why
        if self._execution is not None:
            self._execution.stop(why)

    def hand_over(self, why: str) -> None:
        """End the run at its next call of a task, so that another worker goes on with it at once."""
        self.hands_over = True
        if self._execution is not None:
            self._execution.hands_over = True
        self.stop(why)

    def cancel(self, why: str) -> None:
        """End the run at its next call of a task, and cancel its async tasks; to be called on their loop."""
        self._why = why
        if self._execution is not None:
            self._execution.cancel(why)


class Request(Struct, frozen=True, kw_only=True):
    """One call of a workflow.

    Args:
        input: the input; None to continue the thread; a Command to answer its questions.
        config: the caller's, merged with what was bound.
        context: as its schema made it.
        durability: when outcomes are kept.
        emitter: where events go, or None.
        loop: runs async tasks of a blocking workflow, or None.
        listen: gives what is entered for the length of the run, so that what it sets in the context reaches all that
            runs below; or None.
        reins: stop the run.
        publisher: keeps the events that go to the emitter, for readers elsewhere, or None.
        keeps_failure: whether what the run raises is kept for those who ask later.
        on_conflict: what to do where another run has the thread, or None for what the workflow says.
        run_key: the caller's name for the run, or None.
        follows: what an observer left with whoever submitted the call.
    """

    input: Any
    config: dict[str, Any] = field(default_factory=dict)
    context: Any = None
    durability: Durability = "sync"
    emitter: Emitter | None = None
    loop: asyncio.AbstractEventLoop | None = None
    listen: Callable[[], AbstractContextManager[None]] | None = None
    reins: Reins = field(default_factory=Reins)
    publisher: Publisher | None = None
    keeps_failure: bool = False
    on_conflict: OnConflict | None = None
    run_key: str | None = None
    follows: Mapping[str, str] = field(default_factory=dict)

    def listening(self) -> AbstractContextManager[None]:
        """Return what is entered for the length of the run."""
        return _NOTHING if self.listen is None else self.listen()


def thread_of(settings: Settings, config: Mapping[str, Any]) -> ThreadKey:
    """Return the thread that a config names.

    Raises:
        UsageError: it names none (NoThreadId), or one that no database can keep.
    """
    thread_id = (config.get("configurable") or {}).get("thread_id")
    if thread_id is None or thread_id == "":
        raise NoThreadId(
            f"workflow {settings.callee.name!r} has a checkpointer, so it needs to know the thread: "
            'pass config={"configurable": {"thread_id": ...}}'
        )
    name = str(thread_id)
    if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
        raise UsageError(f"thread_id {name!r:.100} holds half of a surrogate pair, which no database can keep")
    return ThreadKey(name, settings.callee.name)
