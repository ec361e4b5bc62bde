"""`@entrypoint`: makes a workflow of a function, and refuses what could never run."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, TypeVar, overload

from clew.codec.declared import allow_named_by
from clew.engine.caching import CachePolicy, checked
from clew.engine.final import final as _final
from clew.engine.limits import TimeoutPolicy, limit, refuse_on_sync
from clew.engine.retry import RetryPolicy, policies
from clew.errors import InvalidOption
from clew.late import late
from clew.listening import hear_life
from clew.options import checked_on_conflict
from clew.runner.callee import INJECTABLE, Callee, function_name, is_generator, parameters
from clew.runner.settings import Settings
from clew.workflow import Workflow

if TYPE_CHECKING:
    from datetime import timedelta

    from clew import parts
    from clew.codec import allowed
    from clew.database import Database
    from clew.engine.journal import OnMismatch
    from clew.runner.waiting import OnConflict
    from clew.storage.base import Checkpointer
    from clew.storage.cache import BaseCache
    from clew.store.base import BaseStore
else:
    late(globals(), "clew.codec.allowed", "clew.parts")

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
SavedT = TypeVar("SavedT")


class entrypoint:
    """Make a workflow of a function, blocking or async: its runs are kept on threads and survive crashes.

    Works bare (`@entrypoint`) and with keywords. The function's first parameter is the input. It may also ask for
    `previous` (what the last run on the thread saved), `store`, `config`, `writer` and `runtime`.

    Args:
        database: threads and memories over one connection source; short for `checkpointer` and `store`.
        checkpointer: where threads are kept. None: nowhere. True: for a workflow that is called by others and
            remembers its value from call to call, on their checkpointer.
        store: long-term memory; a LangGraph BaseStore will do as well.
        cache: where results of tasks with a cache policy are kept.
        context_schema: the type of `context=`.
        cache_policy: that whole runs are kept in the cache.
        retry_policy: after which failures the whole function is run again; finished tasks are not.
        timeout: limits on the whole function; only if it is async.
        on_mismatch: what a replay does when the code no longer makes the calls that were recorded: "raise" a
            ReplayMismatch, "rerun" such calls, or "accept" what was recorded.
        on_conflict: what a new input does while another run has its thread: "queue" for its turn, in the order of
            arrival; "reject" with ThreadBusy; "interrupt" that run at its next call of a task, and keep it as
            interrupted; or "rollback": stop it likewise, and remove it with its records. What its finished tasks wrote
            to memory stays. Calls that answer or continue a run never stop one, and do not wait for new inputs.
        wait_s: how long a call waits for others on its thread before it raises ThreadBusy, in seconds.
        allow: types that records may hold, beside those that the code of workflow and tasks names.
        name: the workflow's name; the function's by default. Threads belong to a workflow by this name.

    Raises:
        TypeError: a part is of a wrong type.
        ValueError: the function has no parameter for the input, or its first is one that is injected.
        NotImplementedError: the function is a generator.
    """

    _saver: Checkpointer | bool | None = None
    _store: BaseStore | None = None
    _cache: BaseCache | None = None
    _context_schema: type[Any] | None
    _cache_policy: CachePolicy | None
    _retry: tuple[RetryPolicy, ...]
    _limit: TimeoutPolicy | None
    _on_mismatch: OnMismatch
    _on_conflict: OnConflict
    _wait_s: float
    _allow: tuple[type[Any], ...]
    _name: str | None

    if TYPE_CHECKING:
        # Declared anew for them: of an alias in a class body, mypy and pyright each see only what the other does not.
        class final(_final[OutputT, SavedT], frozen=True, kw_only=True):
            pass
    else:
        final = _final

    @overload
    def __new__(  # type: ignore[misc]  # a workflow is no entrypoint
        cls, function: Callable[Concatenate[InputT, ...], Coroutine[Any, Any, _final[OutputT, Any]]], /
    ) -> Workflow[InputT, OutputT]: ...
    @overload
    def __new__(  # type: ignore[misc]
        cls, function: Callable[Concatenate[InputT, ...], Coroutine[Any, Any, OutputT]], /
    ) -> Workflow[InputT, OutputT]: ...
    @overload
    def __new__(  # type: ignore[misc]
        cls, function: Callable[Concatenate[InputT, ...], _final[OutputT, Any]], /
    ) -> Workflow[InputT, OutputT]: ...
    @overload
    def __new__(  # type: ignore[misc]
        cls, function: Callable[Concatenate[InputT, ...], OutputT], /
    ) -> Workflow[InputT, OutputT]: ...
    @overload
    def __new__(
        cls,
        /,
        *,
        database: Database | None = None,
        checkpointer: Checkpointer | bool | None = None,
        store: Any = None,
        cache: BaseCache | None = None,
        context_schema: type[Any] | None = None,
        cache_policy: CachePolicy | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        timeout: float | timedelta | TimeoutPolicy | None = None,
        on_mismatch: OnMismatch = "raise",
        on_conflict: OnConflict = "queue",
        wait_s: float = 60.0,
        allow: Sequence[type[Any]] = (),
        name: str | None = None,
    ) -> entrypoint: ...
    def __new__(
        cls,
        function: Callable[..., Any] | None = None,
        /,
        *,
        database: Database | None = None,
        checkpointer: Checkpointer | bool | None = None,
        store: Any = None,
        cache: BaseCache | None = None,
        context_schema: type[Any] | None = None,
        cache_policy: CachePolicy | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        timeout: float | timedelta | TimeoutPolicy | None = None,
        on_mismatch: OnMismatch = "raise",
        on_conflict: OnConflict = "queue",
        wait_s: float = 60.0,
        allow: Sequence[type[Any]] = (),
        name: str | None = None,
    ) -> Any:
        # Everything happens here, not in __init__: mypy would take that one's signature for the whole.
        self = super().__new__(cls)
        if any(part is not None for part in (database, checkpointer, store, cache)):
            self._saver = parts.saver_of(checkpointer, database)
            self._store = parts.store_of(store, database)
            self._cache = parts.cache_of(cache)
        self._context_schema = context_schema
        self._cache_policy = checked(cache_policy)
        self._retry = policies(retry_policy)
        self._limit = limit(timeout)
        if on_mismatch not in ("raise", "rerun", "accept"):
            raise InvalidOption(f"on_mismatch must be 'raise', 'rerun' or 'accept', not {on_mismatch!r}")
        self._on_mismatch = on_mismatch
        self._on_conflict = checked_on_conflict(on_conflict)
        self._wait_s = _checked_wait(wait_s)
        if not isinstance(allow, Iterable):
            raise parts.InvalidPart(f"allow is a list of types, such as [Order], not {allow!r}")
        if not isinstance(name, str | None):
            raise parts.InvalidPart(f"name is a text, not {name!r}")
        self._allow, self._name = tuple(allow), name
        return self if function is None else self(function)

    @overload
    def __call__(
        self, function: Callable[Concatenate[InputT, ...], Coroutine[Any, Any, _final[OutputT, Any]]], /
    ) -> Workflow[InputT, OutputT]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[InputT, ...], Coroutine[Any, Any, OutputT]], /
    ) -> Workflow[InputT, OutputT]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[InputT, ...], _final[OutputT, Any]], /
    ) -> Workflow[InputT, OutputT]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[InputT, ...], OutputT], /) -> Workflow[InputT, OutputT]: ...
    def __call__(self, function: Callable[..., Any], /) -> Workflow[Any, Any]:
        """Make the workflow."""
        name = self._name or function_name(function)
        _check_function(function, name)
        callee = Callee(
            function, name, retry=self._retry, limit=self._limit, cache=self._cache_policy, hear_life=hear_life, skip=1
        )
        if not callee.is_async:
            refuse_on_sync(self._limit, name)
        allow_named_by(function)
        if self._allow:
            allowed.allow(*self._allow)
        settings = Settings(
            callee=callee, saver=self._saver, store=self._store, cache=self._cache, on_mismatch=self._on_mismatch,
            on_conflict=self._on_conflict, wait_s=self._wait_s,
        )  # fmt: skip
        return Workflow(settings, self._context_schema)


def _checked_wait(wait_s: Any) -> float:
    if isinstance(wait_s, bool) or not isinstance(wait_s, int | float) or not 0 <= wait_s < math.inf:
        raise InvalidOption(f"wait_s must be a number of seconds, 0 or more, not {wait_s!r}")
    return float(wait_s)


def _check_function(function: Callable[..., Any], name: str) -> None:
    if not callable(function):
        order = "; write @classmethod above it" if isinstance(function, classmethod) else ""
        raise parts.InvalidPart(f"@entrypoint needs a function, not {function!r}{order}")
    if is_generator(function):
        raise NotImplementedError(
            f"workflow {name!r} is a generator, which cannot be resumed; write to the stream writer instead of yielding"
        )
    named = parameters(function)
    if not named or named[0].kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD):
        raise InvalidOption(f"workflow {name!r} has no parameter for its input; give it one, even if it is not used")
    if named[0].name in INJECTABLE:
        raise InvalidOption(
            f"the first parameter of workflow {name!r} is its input, but {named[0].name!r} is the name of something "
            "that is injected; put a parameter for the input before it"
        )
