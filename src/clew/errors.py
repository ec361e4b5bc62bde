"""Everything clew raises on purpose. This file knows nothing of the rest, and every room may import it.

ClewError                          anything clew raises on purpose
├── UsageError                     the calling code must change
│   ├── NotInWorkflow              asked for something that only a running workflow has (RuntimeError)
│   ├── WouldWait                  a blocking run reached an await that waits (RuntimeError)
│   ├── InvalidOption              an option, or a value of one, that there is not (ValueError)
│   ├── NotRecordable              a value that could not be read back; names the path inside it (TypeError)
│   ├── InvalidNamespaceError      a namespace that is not a tuple of non-empty labels (ValueError)
│   ├── InvalidFilter              a filter with an unknown operator or key (ValueError)
│   ├── InvalidValue               a memory that is not JSON; names the path inside it (ValueError)
│   ├── InvalidMessage             something that is no message, or an id no message has (ValueError)
│   ├── InvalidExport              a file that is no export of clew, or is damaged; names the line (ValueError)
│   ├── MissingDependency          an optional package is needed and not installed; names it (ImportError)
│   ├── NoThreadId                 a workflow with a checkpointer was called without a thread (ValueError)
│   ├── NoSuchThread               nothing was ever kept on that thread (ValueError)
│   └── InvalidResume              an answer that no question waits for (RuntimeError)
├── ReplayError                    journal and code disagree
│   ├── ReplayMismatch             a call was recorded with other arguments, or is no longer made
│   └── UnreadableRecord           stored bytes that give no value here
├── TaskError                      a task did not succeed
│   ├── NodeTimeoutError           its time limit passed (TimeoutError)
│   ├── NodeCancelledError         its own code raised CancelledError
│   ├── ToolFailed                 a tool of an MCP server says that it failed (RuntimeError)
│   └── RecordedFailure            a replayed error whose class is not known here
├── TooManyRounds                  an agent's model asked for tools again and again; keeps the conversation
├── EmbeddingError                 the embedder failed, or gave vectors of another length
├── RunStopped                     a run was stopped because somebody asked
│   └── RunCancelled               it was cancelled, or never begun
├── SetAside                       the process of a run died again and again, and it is no longer begun by itself
└── StorageError                   the database did not do it
    ├── Conflict                   another writer was first
    │   └── VersionConflict        a memory is of another version than `if_version` says
    ├── Forgotten                  memory as it was then is no longer kept
    ├── ThreadBusy                 another run holds the thread
    ├── LimitReached               no more runs of a workflow may begin now
    ├── Unavailable                the database cannot be reached, read or written
    └── SchemaMismatch             the database was made by another version
Suspended (BaseException)          control flow, not an error: `except Exception` must not stop an interrupt
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal


class ClewError(Exception):
    """Anything clew raises on purpose."""


class UsageError(ClewError):
    """The calling code must change."""


class NotInWorkflow(UsageError, RuntimeError):
    """Something was asked for that only a running workflow or task has."""


class WouldWait(UsageError, RuntimeError):
    """A blocking run reached an await that waits; use the async twin."""


class InvalidOption(UsageError, ValueError):
    """An option, or a value of one, that there is not. The message names those that there are."""


class NotRecordable(UsageError, TypeError):
    """A value that could not be read back. The message names the place inside the value."""


class InvalidNamespaceError(UsageError, ValueError):
    """A namespace that is not a tuple of non-empty text labels."""


class InvalidFilter(UsageError, ValueError):
    """A filter with an unknown operator, an invalid key or an operand of the wrong kind."""


class InvalidValue(UsageError, ValueError):
    """A memory that is not JSON. The message names the place inside the value."""


class InvalidMessage(UsageError, ValueError):
    """Something given as a message that is none, or a removal of a message that is not there."""


class InvalidExport(UsageError, ValueError):
    """A file that is no export of clew, or a damaged one. The message names the line."""


class MissingDependency(UsageError, ImportError):
    """An optional package is needed and not installed. The message names it and how to get it."""


class NoThreadId(UsageError, ValueError):
    """A workflow with a checkpointer was called without naming a thread."""


class NoSuchThread(UsageError, ValueError):
    """Nothing was ever kept on that thread."""


class InvalidResume(UsageError, RuntimeError):
    """An answer that no question waits for. The message names the questions that do wait."""


class ReplayError(ClewError):
    """The journal and the code disagree."""


class ReplayMismatch(ReplayError):
    """A recorded call was made with other arguments, or is no longer made. The message shows both sides."""


class UnreadableRecord(ReplayError):
    """Stored bytes that give no value here: damaged, or of a type that this application did not allow."""


class TaskError(ClewError):
    """A task did not succeed."""


class NodeTimeoutError(TaskError, TimeoutError):
    """A time limit passed.

    Args:
        node: name of the task or workflow.
        elapsed: seconds since the attempt began, or since it last showed life (kind "idle").
        kind: which limit fired.
        run_timeout: the declared limit on one attempt in seconds, or None.
        idle_timeout: the declared limit on silence in seconds, or None.
    """

    def __init__(
        self,
        node: str,
        elapsed: float,
        *,
        kind: Literal["run", "idle"],
        run_timeout: float | None = None,
        idle_timeout: float | None = None,
    ) -> None:
        self.node = node
        self.elapsed = elapsed
        self.kind = kind
        self.run_timeout = run_timeout
        self.idle_timeout = idle_timeout
        limit = run_timeout if kind == "run" else idle_timeout
        self.timeout = limit
        what = "ran longer than" if kind == "run" else "showed no life for"
        super().__init__(f"{node!r} {what} its limit of {limit} s ({elapsed:.3f} s)")


class NodeCancelledError(TaskError):
    """The code of a task raised CancelledError by itself; nobody had cancelled it.

    Args:
        node: name of the task.
    """

    def __init__(self, node: str) -> None:
        self.node = node
        super().__init__(f"{node!r} raised CancelledError although nobody had cancelled it")


class ToolFailed(TaskError, RuntimeError):
    """A tool of an MCP server says that it failed, or the server refused the call. To ask again would not help."""


class RecordedFailure(TaskError):
    """A replayed error whose class is not known in this process.

    Args:
        name: qualified name of the original class.
        message: text of the original error.
        traceback_text: formatted traceback of the original error, possibly empty.
    """

    def __init__(self, name: str, message: str, traceback_text: str = "") -> None:
        self.name = name
        self.message = message
        self.traceback_text = traceback_text
        super().__init__(f"{name}: {message}" if message else name)


class EmbeddingError(ClewError):
    """The embedder failed, or gave vectors of another number or length than was declared."""


class TooManyRounds(ClewError):
    """An agent's model asked for tools again and again. What was done is recorded: continue with a higher limit.

    Args:
        message: how often, and how to go on.
        messages: the conversation so far.
    """

    def __init__(self, message: str, messages: Sequence[object] = ()) -> None:
        self.messages = messages
        super().__init__(message)


class RunStopped(ClewError):
    """A run was stopped because somebody asked. The message says what became of it, and how to go on.

    Args:
        message: which run, and what became of it.
        run_id: the run.
        why: what was asked: "interrupt" or "rollback" by a newer input, or "cancel".
    """

    def __init__(
        self, message: str, run_id: str = "", why: Literal["interrupt", "rollback", "cancel"] = "cancel"
    ) -> None:
        self.run_id = run_id
        self.why = why
        super().__init__(message)


class RunCancelled(RunStopped):
    """A run was cancelled; or a submitted call was, or was given up for a newer one."""


class SetAside(ClewError):
    """The process of a run died again and again; it is continued only by hand, with `invoke(None, config)`."""


class StorageError(ClewError):
    """The database did not do it."""


class Conflict(StorageError):
    """Another writer was first; nothing of this write was kept."""


class VersionConflict(Conflict):
    """A memory is of another version than `if_version` says. A task's retry policy may try again."""


class Forgotten(StorageError):
    """Memory was asked for as it was at a moment, and what was there then is no longer kept."""


class ThreadBusy(StorageError):
    """Another run holds the thread.

    Args:
        message: what is held.
        owner: who holds it.
    """

    def __init__(self, message: str, owner: str = "") -> None:
        self.owner = owner
        super().__init__(message)


class LimitReached(StorageError):
    """No more runs of a workflow may be under way, or begin, now. Workers alone meet it, and try again.

    Args:
        message: of which workflow, and why.
        until_s: when one more may begin, in seconds since the epoch; None: once another has ended.
    """

    def __init__(self, message: str, until_s: float | None = None) -> None:
        self.until_s = until_s
        super().__init__(message)


class Unavailable(StorageError):
    """The database cannot be reached, read or written."""


class SchemaMismatch(StorageError):
    """The database was made by another version of clew, or by another program."""


class Suspended(BaseException):
    """A running function asked a question and stops until it is answered.

    Control flow, not an error, hence no Exception: `except Exception` must not stop it.
    """
