"""What somebody who watches is told of: activities, each from its beginning to its end. Values only.

Who carries one out fills in what comes to be known on the way; who watches reads it at the end. Neither knows the
other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct, field

from clew.engine.questions import Interrupt


class WatchedRun(Struct, kw_only=True):
    """One execution of a run: from the call of a workflow until it has ended, stopped or failed.

    Args:
        workflow: its name.
        thread_id: of its thread, or None where nothing is kept.
        input: as for `invoke`; None where a run goes on.
        run_id: the run, once it is known.
        executions: how often the run was begun or continued, this time included.
        leaves: what whoever watches wants to be kept with a new run, for those who continue it.
        follows: what was left so by those who submitted the run, and who began it.
        value: what it returned.
        interrupts: the questions that it stopped at.
        has_stopped: whether it ended half-way, with questions or because somebody asked.
    """

    workflow: str
    thread_id: str | None = None
    input: Any = None
    run_id: str | None = None
    executions: int = 1
    leaves: dict[str, str] = field(default_factory=dict)
    follows: list[Mapping[str, str]] = field(default_factory=list)
    value: Any = None
    interrupts: Sequence[Interrupt] = ()
    has_stopped: bool = False


class WatchedSubmission(Struct, kw_only=True):
    """The submission of a call: what it `leaves` is kept with the call, see WatchedRun."""

    workflow: str
    thread_id: str
    run_id: str | None = None
    leaves: dict[str, str] = field(default_factory=dict)


class WatchedCall(Struct, kw_only=True):
    """One call of a task or a nested workflow, with all its attempts. One that was recorded is none.

    Args:
        name: of the task or workflow.
        is_workflow: which of the two.
        key: the stable name of the call within its run.
        id: its idempotency key.
        run_id: the run.
        thread_id: of the run's thread, or None.
        args: passed by position.
        kwargs: passed by name.
        attempts: how many it took.
        is_cached: whether a cache gave the value.
        value: what it returned.
    """

    name: str
    is_workflow: bool
    key: str
    id: str
    run_id: str
    thread_id: str | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    attempts: int = 0
    is_cached: bool = False
    value: Any = None


class WatchedAttempt(Struct, kw_only=True):
    """One attempt at a call that may be tried again.

    Args:
        name: of the task or workflow.
        number: which attempt, from 1.
    """

    name: str
    number: int


class WatchedMemory(Struct, kw_only=True):
    """Operations of a run's store, carried out together.

    Args:
        operation: "get", "put", "delete", "search", "list_namespaces", "history", or "batch" of several kinds.
        namespaces: of the operations, each once, in order.
        size: how many operations.
        query: what is searched for, or None.
        found: how many items were found, or None for writes.
    """

    operation: str
    namespaces: Sequence[tuple[str, ...]]
    size: int
    query: str | None = None
    found: int | None = None


class ModelCall(Struct, kw_only=True):
    """One call of a model, for `watched`: fill in what it answered before the block ends.

    Args:
        provider: as in "openai" or "anthropic".
        model: its name, as it is asked for.
        options: of the request, under the providers' own names, such as `temperature` and `max_tokens`.
        messages: what it is told, in OpenAI's shape.
        answer: the message that it gave, in OpenAI's shape, or None.
        response_id: the provider's name for the answer.
        response_model: the model that answered.
        input_tokens: how many it was told.
        output_tokens: how many it said.
        finish_reasons: why it ended, in the provider's words.
    """

    provider: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[Any] = ()
    answer: Any = None
    response_id: str | None = None
    response_model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reasons: Sequence[str] = ()


class ToolUse(Struct, kw_only=True):
    """One use of a tool that a model asked for, for `watched`.

    Args:
        name: of the tool.
        description: as the model was told.
        arguments: as the model gave them.
        result: what the model is told of it.
    """

    name: str
    description: str = ""
    arguments: Any = None
    result: Any = None


class AgentTurn(Struct, kw_only=True):
    """One turn of an agent: models and tools until there is an answer; for `watched`."""

    name: str


Activity = (
    WatchedRun | WatchedSubmission | WatchedCall | WatchedAttempt | WatchedMemory | ModelCall | ToolUse | AgentTurn
)


class Observer(Protocol):
    """Is told when activities begin and end, in the context in which they take place."""

    def begun(self, activity: Activity) -> Any:
        """Take note that an activity begins; what is returned is given back at its end."""

    def ended(self, activity: Activity, begun: Any, error: BaseException | None) -> None:
        """Take note that an activity has ended, perhaps with an error. `Suspended` is none: it waits for an answer."""
